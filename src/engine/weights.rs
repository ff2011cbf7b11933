//! The one component that reads weights: once, checked against the manifest, cast to the run precision, kept for every engine.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor, nn};

use super::EngineError;
use super::bert::Shrunk;
use super::manifest::{ModelDirectory, hexadecimal, permanent, unreadable, wrong_digest};

/// The weights file in memory, its digest checked: dropped when the networks' own form of it is made.
pub struct WeightsFile {
    raw: Vec<u8>,
    pub sha256: String,
    pub bytes: u64,
}

impl WeightsFile {
    /// Reads the safetensors file. The only read of a model's weights in a process's life.
    pub fn read(model: &ModelDirectory) -> Result<Self, EngineError> {
        let file = &model.weights;
        let raw = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
        if let Some((_, bytes)) = &model.expected
            && *bytes != raw.len() as u64
        {
            let message = format!("{} bytes, the manifest says {bytes}: the file is truncated or not the right one", raw.len());
            return Err(permanent(file, &message));
        }
        let sha256 = hexadecimal(&raw);
        if let Some((expected, _)) = &model.expected
            && *expected != sha256
        {
            return Err(wrong_digest(file, &sha256, expected));
        }
        Ok(Self { bytes: raw.len() as u64, sha256, raw })
    }

    /// The tensors as they lie in the file; `path` is for the message.
    pub fn tensors(&self, path: &Path) -> Result<SafeTensors<'_>, EngineError> {
        SafeTensors::deserialize(&self.raw)
            .map_err(|error| permanent(path, &format!("not a safetensors file, or a truncated one: {error}")))
    }
}

/// The tensors of a model, shared by every engine of the process: each attaches to them, none copies.
pub struct SharedWeights {
    /// A `Tensor` is `Send`, not `Sync`: handles are made under the lock, the data behind them is only ever read.
    tensors: Mutex<HashMap<String, Tensor>>,
}

impl SharedWeights {
    /// Casts what was read.
    pub fn new(file: &WeightsFile, model: &ModelDirectory, kind: Kind, device: Device) -> Result<Self, EngineError> {
        let mut tensors = HashMap::new();
        for (name, view) in file.tensors(&model.weights)?.tensors() {
            let Some(stored) = stored_kind(view.dtype()) else {
                continue; // position ids and the like: not weights
            };
            let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &shape, stored)
                .and_then(|tensor| tensor.f_to_kind(kind)?.f_to_device(device))
                .map_err(|error| permanent(&model.weights, &format!("tensor {name} of shape {shape:?} cannot be read: {error}")))?;
            tensors.insert(name, tensor);
        }
        Ok(Self { tensors: Mutex::new(tensors) })
    }

    /// Points every variable of a graph at the shared tensor of its name, after its shape was found to be the configuration's.
    pub fn attach(&self, model: &ModelDirectory, variables: &nn::VarStore, shrunk: &[Shrunk]) -> Result<(), EngineError> {
        let tensors = self.tensors.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (name, mut variable) in variables.variables() {
            let shared = tensors
                .get(&name)
                .ok_or_else(|| permanent(&model.weights, &format!("no tensor {name}: the weights are not of this architecture")))?;
            let (mut wanted, found) = (variable.size(), shared.size());
            // The attention's own output layer has the same ending as the feed-forward block's, and its full size.
            let full = name.ends_with("attention.output.dense.weight");
            if let Some(place) = shrunk.iter().find(|place| !full && name.ends_with(place.suffix)) {
                wanted[place.dimension] = place.size;
            }
            if wanted != found {
                let message = format!("tensor {name} has shape {found:?}, config.json says {wanted:?}");
                return Err(permanent(&model.weights, &message));
            }
            variable.f_set_data(shared).map_err(|error| EngineError::Permanent(format!("tensor {name} cannot be attached: {error}")))?;
        }
        Ok(())
    }
}

fn stored_kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F64 => Some(Kind::Double),
        _ => None,
    }
}
