//! The database URL: libpq's form, also with SQLAlchemy's schemes, and the TLS modes that the driver itself does not know.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// How much of the server's certificate is checked, as libpq names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Prefer,
    /// Encrypted, the certificate unchecked.
    Require,
    /// Encrypted, chain and host name checked.
    VerifyFull,
}

/// A parsed URL.
#[derive(Debug)]
pub struct Target {
    pub config: Config,
    pub tls: TlsMode,
    /// `sslrootcert`: certificates to trust instead of the machine's.
    pub root_certificate: Option<PathBuf>,
}

impl Target {
    /// Parses a URL. Errors never quote it: it holds the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.is_empty() {
            return Err(
                "no database: set DATABASE_URL (postgresql://user:password@host:port/name), --database-url or database.url".to_owned()
            );
        }
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if matches!(scheme.split('+').next(), Some("postgresql" | "postgres")) => rest,
            _ => return Err("the database URL does not begin with postgresql://".to_owned()),
        };
        let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut tls, mut root_certificate, mut others) = (TlsMode::Prefer, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("sslmode", mode) => {
                    tls = match mode {
                        "disable" => TlsMode::Disable,
                        "allow" | "prefer" => TlsMode::Prefer,
                        "require" => TlsMode::Require,
                        "verify-full" | "verify-ca" => TlsMode::VerifyFull,
                        _ => return Err("the sslmode in the database URL is none of disable, prefer, require, verify-full".to_owned()),
                    }
                }
                ("sslrootcert", path) => root_certificate = Some(PathBuf::from(path.replace("%2F", "/"))),
                _ => others.push(pair),
            }
        }
        let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
        let mut config = Config::from_str(&format!("postgresql://{base}{query}")).map_err(|error| {
            format!("the database URL cannot be read: {}", std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string))
        })?;
        config.ssl_mode(match tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyFull => SslMode::Require,
        });
        Ok(Self { config, tls, root_certificate })
    }

    /// Where it leads, for people: host, port and database, no user, no password.
    pub fn place(&self) -> String {
        use tokio_postgres::config::Host;
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{host}:{port}/{}", self.config.get_dbname().unwrap_or("(the user's database)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_schemes() {
        let target =
            Target::parse("postgresql+psycopg2://u:p@db:6432/news?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=3").unwrap();
        assert_eq!(target.tls, TlsMode::VerifyFull);
        assert_eq!(target.root_certificate, Some("/etc/ca.pem".into()));
        assert_eq!(target.place(), "db:6432/news");
        assert_eq!(Target::parse("postgres://h/d").unwrap().tls, TlsMode::Prefer);
        assert_eq!(Target::parse("postgresql://h/d?sslmode=disable").unwrap().tls, TlsMode::Disable);
    }

    #[test]
    fn errors_teach_and_hide_the_password() {
        assert!(Target::parse("").unwrap_err().contains("DATABASE_URL"));
        for url in [
            "mysql://u:hunter2@h/d",
            "postgresql://u:hunter2@h/d?sslmode=maybe",
            "postgresql://u:hunter2@h:port/d",
            "postgresql://h?x=hunter2",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
