//! What `nerd top` asks of a daemon: `/status.json` over HTTP, read back by the very types that the daemon writes it with.

use std::time::Duration;

use thiserror::Error;

use crate::http::status::Whole;

/// How long an answer may take: the daemon reads it from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is nothing to show.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("no daemon answers at {url}: {reason}")]
    Away { url: String, reason: String },
    #[error("{url} answers {status}: {said}")]
    Refused { url: String, status: u16, said: String },
    #[error("what {url} answers is no status of a daemon, or of one of another version: {reason}")]
    Strange { url: String, reason: String },
}

impl ClientError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Away { .. } => {
                "is it running, and http.address set? --url names another address; to one far away lead a port: ssh -L 8080:127.0.0.1:8080 HOST"
            }
            Self::Refused { .. } => {
                "name the daemon's own http.address with --url; one that is bound to loopback answers only to localhost and 127.0.0.1"
            }
            Self::Strange { .. } => {
                "name a daemon's http.address with --url, and use a nerd of its version; --json prints the answer as it came"
            }
        }
    }
}

/// One daemon's address, asked again and again.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    /// `url`: as `address` makes it.
    pub fn new(url: String) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().into();
        Self { agent, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The body as it came.
    pub fn body(&self) -> Result<String, ClientError> {
        let away = |error: ureq::Error| ClientError::Away { url: self.url.clone(), reason: error.to_string() };
        let mut response = self.agent.get(format!("{}/status.json", self.url)).call().map_err(away)?;
        let body = response.body_mut().read_to_string().map_err(away)?;
        if !response.status().is_success() {
            let said = body.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
            return Err(ClientError::Refused { url: self.url.clone(), status: response.status().as_u16(), said });
        }
        Ok(body)
    }

    pub fn status(&self) -> Result<Whole, ClientError> {
        let strange = |error: serde_json::Error| ClientError::Strange { url: self.url.clone(), reason: error.to_string() };
        self.body().and_then(|body| serde_json::from_str(&body).map_err(strange))
    }
}

/// An address as people write it, made one to ask: `127.0.0.1:8080`, `http://127.0.0.1:8080/`.
pub fn address(text: &str) -> Result<String, String> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            return Err(format!("{scheme} is not spoken, only http; lead a port to the daemon: ssh -L 8080:127.0.0.1:8080 HOST"));
        }
        None => text,
    };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || rest.starts_with(':') {
        return Err("write the daemon's http.address, as http://127.0.0.1:8080".to_owned());
    }
    if rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace) {
        return Err("only a host, a port and a path belong into the address: the daemon asks for no name or password".to_owned());
    }
    Ok(format!("http://{rest}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for written in ["127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
            assert_eq!(address(written).unwrap(), "http://127.0.0.1:8080");
        }
        assert_eq!(address("http://[::1]:80/nerd/").unwrap(), "http://[::1]:80/nerd");
        for (written, complaint) in [("https://a", "ssh -L"), ("", "http.address"), ("http://u:p@a", "password"), ("a b", "only a host")] {
            let error = address(written).unwrap_err();
            assert!(error.contains(complaint) && !error.contains("u:p"), "{error}");
        }
    }

    /// Answers one request with these bytes.
    fn server(answer: &'static str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        Client::new(url)
    }

    #[test]
    fn whoever_does_not_answer_like_a_daemon_is_told_apart() {
        let strange = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").status().unwrap_err();
        assert!(matches!(strange, ClientError::Strange { .. }), "{strange}");
        let refused =
            server("HTTP/1.1 421 Misdirected Request\r\nContent-Length: 9\r\nConnection: close\r\n\r\nnot\u{7} here").body().unwrap_err();
        assert!(refused.to_string().ends_with("answers 421: not here"), "{refused}");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let away = Client::new(format!("http://{closed}")).body().unwrap_err();
        assert!(matches!(away, ClientError::Away { .. }), "{away}");
    }
}
