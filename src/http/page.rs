//! The live page: one answer that needs nothing else, from here or from anywhere. Its style and its script are allowed by a number
//! that is drawn anew for each answer; whatever else gets into it does not run, and it speaks to nobody but this address.

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use uuid::Uuid;

use super::guard;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn answer() -> HttpResponse {
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    guard::kept(HttpResponse::Ok())
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .content_type("text/html; charset=utf-8")
        .body(whole(&nonce))
}

fn whole(nonce: &str) -> String {
    PAGE.replace("{nonce}", nonce).replace("{style}", STYLE).replace("{script}", SCRIPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_whole_and_asks_nobody_else() {
        let page = whole("0123");
        assert_eq!(page.matches("nonce=\"0123\"").count(), 2);
        assert!(!page.contains("{nonce}") && !page.contains("{style}") && !page.contains("{script}"));
        for elsewhere in ["https://", "//cdn", "@import", "url(", "src=\"", "innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!page.contains(elsewhere), "the page has {elsewhere}");
        }
        // The one address in it names the language of drawings, and nothing is fetched from there.
        assert_eq!(page.matches("http://").count(), page.matches("http://www.w3.org/2000/svg").count());
    }

    #[test]
    fn no_part_ends_another() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</script"));
        assert_eq!(PAGE.matches("style=").count() + SCRIPT.matches("setAttribute(\"style\"").count(), 0, "the policy forbids these");
    }
}
