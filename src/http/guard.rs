//! Who may see the live page: what is bound to this machine alone answers only to this machine's names. A page from elsewhere whose
//! name was made to point here (DNS rebinding) would otherwise read it in the browser of whoever looks at that page.

use std::net::IpAddr;

use actix_web::http::header::{CACHE_CONTROL, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

/// The answer to a request that has no business here; `None`: it may pass.
pub(super) fn refused(request: &HttpRequest, loopback: bool) -> Option<HttpResponse> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !loopback || is_this_machine(host) {
        return None;
    }
    let told = "nerd serves this machine alone: ask for localhost or 127.0.0.1, or bind http.address to another address\n";
    Some(kept(HttpResponse::MisdirectedRequest()).content_type("text/plain; charset=utf-8").body(told))
}

/// An answer that nobody keeps, guesses about or carries on.
pub(super) fn kept(mut answer: HttpResponseBuilder) -> HttpResponseBuilder {
    answer
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-resource-policy", "same-origin"));
    answer
}

/// `localhost` or an address of the loopback network, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_s_names() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:9", "127.9.9.9:80", "[::1]", "[::1]:8080"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:8080", "10.0.0.1:8080", "127.0.0.1.evil.example", "[::2]:1", "::1"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
