//! Where and in which precision the model runs: what the configuration asks for, held against what the machine has.

use std::fmt;

use tch::{Cuda, Device, Kind};

use super::EngineError;
use crate::domain::{DeviceChoice, PrecisionChoice};

/// A device that exists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    pub device: Device,
    pub kind: Kind,
}

impl Placement {
    pub fn choose(device: DeviceChoice, precision: PrecisionChoice) -> Result<Self, EngineError> {
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
        let kind = match precision {
            PrecisionChoice::F32 => Kind::Float,
            PrecisionChoice::Bf16 => Kind::BFloat16,
            PrecisionChoice::Auto if device != Device::Cpu || native_bf16() => Kind::BFloat16,
            PrecisionChoice::Auto => Kind::Float,
        };
        Ok(Self { device, kind })
    }

    pub fn precision(&self) -> &'static str {
        if self.kind == Kind::BFloat16 { "bf16" } else { "f32" }
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
        let error = Placement::choose(DeviceChoice::Cuda(97), PrecisionChoice::Auto).unwrap_err();
        assert!(matches!(&error, EngineError::Permanent(m) if m.starts_with("no CUDA device: ")), "{error}");
    }

    #[test]
    fn the_precision_asked_for_is_taken() {
        let placement = Placement::choose(DeviceChoice::Cpu, PrecisionChoice::F32).unwrap();
        assert_eq!((placement.precision(), placement.to_string().as_str()), ("f32", "cpu"));
    }
}
