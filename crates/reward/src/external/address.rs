//! Addresses of servers that a recipe names: which of them are asked, and how they look in messages, without what may
//! be a secret. It contacts none.

use std::net::IpAddr;

/// Whether a key goes along with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// `Authorization: Bearer KEY`.
    Key,
    /// Nothing secret.
    None,
}

/// Names in a query under which secrets travel.
const SECRETS: [&str; 9] =
    ["key", "apikey", "token", "secret", "password", "passwd", "auth", "signature", "sig"];

/// Checks an address that begins with `http://` or `https://`. `key_env` is the recipe's key that names the environment
/// variable of a key.
///
/// # Errors
/// In words, and without the secret: a user or a password in the address, or a key in its query, since recipes are
/// written down and shown; and a key that would travel unencrypted to another machine.
pub fn check_address(url: &str, bearer: Bearer, key_env: &str) -> Result<(), String> {
    let parts = Parts::of(url);
    let shown = shown_address(url);
    if parts.user.is_some() {
        return Err(format!(
            "expected {shown} without user and password, which would be written into the run folder; put a key into an \
             environment variable and name that in `{key_env}`"
        ));
    }
    if let Some(name) = parts.query.and_then(secret) {
        return Err(format!(
            "expected {shown} without {name:?} in its query, which would be written into the run folder; put the key into \
             an environment variable and name that in `{key_env}`"
        ));
    }
    if bearer == Bearer::Key && parts.scheme.eq_ignore_ascii_case("http") && !is_this_machine(parts.host) {
        return Err(format!(
            "expected https for {shown}, since a key goes along and http sends it unencrypted; without encryption a key \
             goes to this machine only (localhost, 127.0.0.1, [::1])"
        ));
    }
    Ok(())
}

/// The address without user, password and query, of which `***` is left.
pub fn shown_address(url: &str) -> String {
    let Parts { scheme, user, host, path, query } = Parts::of(url);
    let user = if user.is_some() { "***@" } else { "" };
    let query = if query.is_some() { "?***" } else { "" };
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{user}{host}{path}{query}")
}

/// Whether a program of another machine cannot listen there: `localhost` or a loopback address.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The first name in a query under which a secret travels.
fn secret(query: &str) -> Option<&str> {
    let names = query.split(['&', ';']).map(|pair| pair.split('=').next().unwrap_or_default());
    names.into_iter().find(|name| {
        let name = name.to_ascii_lowercase();
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| SECRETS.contains(&word))
    })
}

/// An address in its parts; with the port, `host` is what stands between user and path.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    path: &'a str,
    /// With the fragment.
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// Whatever the text is, it has parts: nothing that stands before an `@` or behind a `?` is taken for the others.
    fn of(url: &'a str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (rest, query) = match rest.split_once(['?', '#']) {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Self { scheme, user, host, path, query }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bearer, check_address, shown_address};

    #[test]
    fn what_is_shown_has_neither_user_nor_query() {
        for (url, shown) in [
            ("http://localhost:8000/score", "http://localhost:8000/score"),
            ("https://user:S3CRET@host/score?api_key=S3CRET#S3CRET", "https://***@host/score?***"),
            ("http://user@S3CRET@host", "http://***@host"),
            ("http://host?S3CRET", "http://host?***"),
            ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("S3CRET@host", "***@host"),
            ("", ""),
        ] {
            assert_eq!(shown_address(url), shown);
        }
    }

    #[test]
    fn an_address_with_a_secret_is_refused_without_repeating_it() {
        for url in [
            "http://user:S3CRET@host/score",
            "http://S3CRET@host/score",
            "https://host/score?api_key=S3CRET",
            "https://host/score?v=1&access-token=S3CRET",
            "https://host/score?X-Amz-Signature=S3CRET",
        ] {
            let refused = check_address(url, Bearer::None, "key_env").expect_err(url);
            assert!(!refused.contains("S3CRET") && refused.contains("`key_env`"), "{refused}");
        }
        for url in ["https://host/score?version=2&monkey=1", "http://host/a@b", "http://host"] {
            check_address(url, Bearer::None, "key_env").expect(url);
        }
    }

    #[test]
    fn a_key_goes_unencrypted_to_this_machine_only() {
        for url in [
            "http://host/",
            "HTTP://10.0.0.1/",
            "http://localhost.example.org/",
            "http://127.0.0.1.example.org/",
        ] {
            let refused = check_address(url, Bearer::Key, "key_env").expect_err(url);
            assert!(refused.contains("https"), "{refused}");
            check_address(url, Bearer::None, "key_env").expect(url);
        }
        for url in [
            "https://host/",
            "http://localhost:80/",
            "http://LOCALHOST",
            "http://127.1.2.3/",
            "http://[::1]:9/",
        ] {
            check_address(url, Bearer::Key, "key_env").expect(url);
        }
    }
}
