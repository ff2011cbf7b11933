//! Where and in which precision the model runs: what the configuration asks for, held against what the machine has.

use std::fmt;

use tch::{Cuda, Device, Kind};

use super::EngineError;
use crate::domain::{DeviceChoice, PrecisionChoice};
use crate::native::Kernels;

/// What the network computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    Bf16,
    Int8,
}

/// A device that exists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    pub device: Device,
    pub precision: Precision,
}

impl Placement {
    /// `obstacle` is why the model cannot run in int8, `measured` whether its manifest says that it was found good in it.
    pub fn choose(device: DeviceChoice, precision: PrecisionChoice, obstacle: Option<String>, measured: bool) -> Result<Self, EngineError> {
        Self::among(cuda_devices(), device, precision, obstacle, measured)
    }

    /// The same, of so many CUDA devices. Pure but for the processor's instructions.
    fn among(
        devices: usize,
        device: DeviceChoice,
        precision: PrecisionChoice,
        obstacle: Option<String>,
        measured: bool,
    ) -> Result<Self, EngineError> {
        let device = device_among(devices, device)?;
        let kernels = Kernels::detect().is_some();
        let precision = match precision {
            PrecisionChoice::F32 => Precision::F32,
            PrecisionChoice::Bf16 => Precision::Bf16,
            PrecisionChoice::Int8 => match obstacle {
                _ if device != Device::Cpu => return Err(int8_refused("it runs on the CPU only; set engine.device to cpu")),
                _ if !kernels => return Err(int8_refused("this processor has neither AVX-512 VNNI nor AVX2; use auto")),
                Some(obstacle) => return Err(int8_refused(&format!("{obstacle}; use auto"))),
                None => Precision::Int8,
            },
            PrecisionChoice::Auto if device == Device::Cpu && kernels && measured && obstacle.is_none() => Precision::Int8,
            PrecisionChoice::Auto if device != Device::Cpu || native_bf16() => Precision::Bf16,
            PrecisionChoice::Auto => Precision::F32,
        };
        Ok(Self { device, precision })
    }

    pub fn precision(&self) -> &'static str {
        match self.precision {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// Whether the model runs beside the processor, which is then free for what comes before and after.
    pub fn is_accelerator(&self) -> bool {
        self.device != Device::Cpu
    }

    /// Tokens a forward pass where nothing is configured: on the CPU what the caches hold, on a device what keeps it busy.
    pub fn batch_tokens(&self) -> usize {
        if self.is_accelerator() { 16 * 1024 } else { 768 }
    }

    /// What libtorch computes in: f32 where it is not asked.
    pub fn kind(&self) -> Kind {
        if self.precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device {
            Device::Cuda(index) => write!(formatter, "cuda:{index}"),
            _ => formatter.write_str("cpu"),
        }
    }
}

/// Whether a choice of device means one beside the processor; `false` where it is refused.
pub fn is_accelerator(choice: DeviceChoice) -> bool {
    device_among(cuda_devices(), choice).is_ok_and(|device| device != Device::Cpu)
}

fn cuda_devices() -> usize {
    if Cuda::is_available() { Cuda::device_count().max(0) as usize } else { 0 }
}

fn device_among(devices: usize, choice: DeviceChoice) -> Result<Device, EngineError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto if devices == 0 => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(Device::Cuda(0)),
        DeviceChoice::Cuda(index) if index < devices => Ok(Device::Cuda(index)),
        DeviceChoice::Cuda(index) => {
            Err(EngineError::Permanent(format!("no CUDA device: engine.device is cuda:{index}, libtorch sees {devices}; use cpu or auto")))
        }
    }
}

fn int8_refused(why: &str) -> EngineError {
    EngineError::Permanent(format!("no int8: engine.precision is int8, {why}"))
}

fn native_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_cuda_device_is_a_permanent_error() {
        let error = Placement::choose(DeviceChoice::Cuda(97), PrecisionChoice::Auto, None, true).unwrap_err();
        assert!(matches!(&error, EngineError::Permanent(m) if m.starts_with("no CUDA device: ")), "{error}");
    }

    #[test]
    fn a_device_is_taken_where_there_is_one() {
        let among = |devices, device, precision| Placement::among(devices, device, precision, None, true);
        let chosen = |devices, device| among(devices, device, PrecisionChoice::Auto).unwrap();
        let first = chosen(2, DeviceChoice::Auto);
        assert_eq!((first.to_string().as_str(), first.precision(), first.is_accelerator()), ("cuda:0", "bf16", true));
        assert!(first.batch_tokens() > chosen(2, DeviceChoice::Cpu).batch_tokens());
        assert_eq!(chosen(2, DeviceChoice::Cuda(1)).to_string(), "cuda:1");
        assert_eq!(chosen(2, DeviceChoice::Cpu).to_string(), "cpu");
        assert_eq!(chosen(0, DeviceChoice::Auto).to_string(), "cpu");
        assert_eq!(among(1, DeviceChoice::Cuda(0), PrecisionChoice::F32).unwrap().precision(), "f32");
        let beyond = among(2, DeviceChoice::Cuda(2), PrecisionChoice::Auto).unwrap_err();
        assert_eq!(beyond.to_string(), "no CUDA device: engine.device is cuda:2, libtorch sees 2; use cpu or auto");
        let int8 = among(1, DeviceChoice::Auto, PrecisionChoice::Int8).unwrap_err();
        assert!(int8.to_string().starts_with("no int8: "), "{int8}");
    }

    #[test]
    fn int8_is_chosen_where_it_was_measured_and_refused_where_it_cannot_be() {
        let auto =
            |obstacle, measured| Placement::choose(DeviceChoice::Cpu, PrecisionChoice::Auto, obstacle, measured).unwrap().precision();
        assert_eq!(auto(None, true) == "int8", Kernels::detect().is_some());
        assert_ne!(auto(None, false), "int8");
        assert_ne!(auto(Some("no".to_owned()), true), "int8");
        let error = Placement::choose(DeviceChoice::Cpu, PrecisionChoice::Int8, Some("no".to_owned()), true).unwrap_err();
        assert!(error.to_string().starts_with("no int8: "), "{error}");
    }

    #[test]
    fn the_precision_asked_for_is_taken() {
        let placement = Placement::choose(DeviceChoice::Cpu, PrecisionChoice::F32, None, true).unwrap();
        assert_eq!((placement.precision(), placement.to_string().as_str()), ("f32", "cpu"));
    }
}
