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
        let devices = if Cuda::is_available() { Cuda::device_count().max(0) as usize } else { 0 };
        let device = match device {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Auto if devices == 0 => Device::Cpu,
            DeviceChoice::Auto => Device::Cuda(0),
            DeviceChoice::Cuda(index) if index < devices => Device::Cuda(index),
            DeviceChoice::Cuda(index) => {
                return Err(EngineError::Permanent(format!(
                    "no CUDA device: engine.device is cuda:{index}, libtorch sees {devices}; use cpu or auto"
                )));
            }
        };
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
