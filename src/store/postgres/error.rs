//! From the driver's errors to the store's: what may be tried again and what may not, and the kind that metrics count.

use tokio_postgres::error::SqlState;

use crate::store::StoreError;

pub(super) fn transient(kind: &'static str, message: impl Into<String>) -> StoreError {
    StoreError::Transient { kind, message: message.into() }
}

pub(super) fn permanent(kind: &'static str, message: impl Into<String>) -> StoreError {
    StoreError::Permanent { kind, message: message.into() }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let message = describe(&error);
        let Some(state) = error.code() else { return transient("connect", message) };
        match *state {
            SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
                transient("timeout", message)
            }
            SqlState::READ_ONLY_SQL_TRANSACTION => transient("connect", format!("the server is read-only (a standby?): {message}")),
            SqlState::INSUFFICIENT_PRIVILEGE => permanent("permission", message),
            _ => match &state.code()[..2] {
                // Serialization failures, deadlocks; objects in use.
                "40" | "55" => transient("serialization", message),
                // Connection exceptions, operator intervention (shutdown, crash, starting up), insufficient resources (a full
                // disk among them), errors of the server's own system.
                "08" | "57" | "53" | "58" => transient("connect", message),
                "28" => permanent("permission", message),
                "3D" => permanent("connect", message),
                "23" => permanent("constraint", message),
                "42" | "3F" => permanent("schema", message),
                _ => permanent("other", message),
            },
        }
    }
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        use deadpool_postgres::PoolError;
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(kind) => transient("timeout", format!("no database connection in time ({kind:?})")),
            other => transient("connect", other.to_string()),
        }
    }
}

/// The server's message without its detail line, which may quote a row; else the whole chain of causes.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let place = [db.table(), db.constraint()].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let place = if place.is_empty() { place } else { format!(" ({place})") };
        return format!("{} [{}]{place}", db.message(), db.code().code());
    }
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !message.contains(&cause_text) {
            message = format!("{message}: {cause_text}");
        }
        source = cause.source();
    }
    message
}
