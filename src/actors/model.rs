//! The model that the pool works with, and the one place where it is changed: by the supervisor, at the end of a rollover.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ExtractorVersion;
use crate::engine::EngineFactory;

/// Where engines come from, and the name of the rows that they make.
pub struct Model {
    pub factory: Arc<dyn EngineFactory>,
    pub version: ExtractorVersion,
}

/// Which model is in use. While a rollover goes from worker to worker, the old one is.
pub struct ModelInUse(Mutex<Arc<Model>>);

impl ModelInUse {
    pub fn new(model: Model) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Arc::new(model))))
    }

    pub fn get(&self) -> Arc<Model> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, model: Arc<Model>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = model;
    }
}
