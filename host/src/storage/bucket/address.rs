//! Addresses of buckets: `s3://BUCKET/PREFIX?OPTION=VALUE&…`.
//!
//! Invariants:
//! - An address that was read holds nothing secret: what could be is refused, and not repeated in
//!   the error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use super::super::tls::choose_cryptography;
use super::retry::RetryLimits;
use crate::error::{Error, Result};

const SCHEME: &str = "s3://";
/// Objects longer than that are uploaded in parts, unless the address says otherwise.
pub(super) const MULTIPART_ABOVE: u64 = 16 * 1024 * 1024;
/// S3 takes no shorter part than that, other than the last.
const MULTIPART_ABOVE_MIN: u64 = 5 * 1024 * 1024;
/// And no longer object than that in one request.
const MULTIPART_ABOVE_MAX: u64 = 5 * 1024 * 1024 * 1024;
const ALLOW_HTTP: AmazonS3ConfigKey = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
const OPTIONS: &str = "region, endpoint, allow_http, path_style, timeout, connect_timeout, retries, retry_timeout, \
                       multipart_above";
const CREDENTIALS: &str = "credentials do not belong into an address, which ends up in logs; set AWS_ACCESS_KEY_ID \
                           and AWS_SECRET_ACCESS_KEY in the environment";

/// A bucket, a prefix in it, and how to reach it. See the table of options at
/// [`ObjectStoreBackend`](super::ObjectStoreBackend).
///
/// ```
/// use eventflux::storage::S3Address;
/// let address: S3Address = "s3://backups/flights?region=eu-central-1&timeout=10s".parse()?;
/// assert_eq!((address.bucket(), address.prefix()), ("backups", "flights"));
/// assert_eq!(address.to_string(), "s3://backups/flights?region=eu-central-1&timeout=10s");
/// # Ok::<(), eventflux::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Address {
    /// As it was given.
    text: String,
    bucket: String,
    prefix: Path,
    options: Options,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Options {
    region: Option<String>,
    endpoint: Option<Url>,
    allow_http: Option<bool>,
    path_style: Option<bool>,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    retries: Option<u32>,
    retry_timeout: Option<Duration>,
    multipart_above: Option<u64>,
}

impl S3Address {
    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix below which the storage is; empty for all of the bucket.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prefix.as_ref()
    }

    pub(super) fn prefix_path(&self) -> &Path {
        &self.prefix
    }

    /// How errors call it: without options.
    pub(super) fn place(&self) -> String {
        format!("{SCHEME}{}", self.bucket)
    }

    pub(super) fn limits(&self) -> RetryLimits {
        let default = RetryLimits::default();
        RetryLimits {
            attempts: self.options.retries.unwrap_or(default.attempts),
            within: self.options.retry_timeout.unwrap_or(default.within),
        }
    }

    pub(super) fn multipart_above(&self) -> u64 {
        self.options.multipart_above.unwrap_or(MULTIPART_ABOVE)
    }

    /// A client of the store: environment first, then what the address says.
    pub(super) fn client(&self) -> Result<Arc<dyn ObjectStore>> {
        choose_cryptography();
        let options = &self.options;
        let no_retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&self.bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            .with_retry(no_retry);
        let text = |time: Duration| format!("{}ms", time.as_millis());
        let given = [
            (AmazonS3ConfigKey::Region, options.region.clone()),
            (ALLOW_HTTP, options.allow_http.map(|allow| allow.to_string())),
            (AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), options.timeout.map(text)),
            (AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), options.connect_timeout.map(text)),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                builder = builder.with_config(key, value);
            }
        }
        builder = self.with_endpoint(builder)?;
        // The error names the option of the environment that is wrong, never its value if that is secret.
        let built = builder.build().map_err(|error| self.wrong(error.to_string()))?;
        Ok(Arc::new(built))
    }

    fn with_endpoint(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
        let from_environment = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
        let endpoint = match &self.options.endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None => from_environment
                .iter()
                .find_map(|key| builder.get_config_value(key))
                .map(|text| endpoint(&text))
                .transpose()
                .map_err(|reason| self.wrong(format!("AWS_ENDPOINT_URL: {reason}")))?,
        };
        let Some(mut endpoint) = endpoint else {
            return Ok(self.with_path_style(builder));
        };
        let allow_http = builder.get_config_value(&ALLOW_HTTP);
        if endpoint.scheme() == "http" && allow_http.as_deref() != Some("true") {
            let reason = "the endpoint is not encrypted (http); say allow_http=true if that is meant, or use https";
            return Err(self.wrong(reason));
        }
        if self.options.path_style == Some(false) {
            // The crate wants the endpoint with the bucket in it then.
            let host = format!("{}.{}", self.bucket, endpoint.host_str().unwrap_or_default());
            endpoint.set_host(Some(&host)).map_err(|error| self.wrong(error.to_string()))?;
        }
        let text = endpoint.as_str().trim_end_matches('/');
        let builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, text);
        Ok(self.with_path_style(builder))
    }

    fn with_path_style(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self.options.path_style {
            Some(path_style) => builder.with_virtual_hosted_style_request(!path_style),
            None => builder,
        }
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Address { address: self.text.clone(), reason: reason.into() }
    }
}

impl std::str::FromStr for S3Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|reason| Error::Address { address: without_secrets(text), reason })
    }
}

impl fmt::Display for S3Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse(text: &str) -> Result<S3Address, String> {
    let example = "write s3://BUCKET/PREFIX, such as s3://backups/flights";
    let rest = text.strip_prefix(SCHEME).ok_or(example)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    if bucket.contains('@') {
        return Err(CREDENTIALS.into());
    }
    if bucket.is_empty() {
        return Err(format!("a bucket must follow {SCHEME}; {example}"));
    }
    let is_plain = bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_plain || bucket.starts_with(['.', '-']) {
        return Err(format!("`{bucket}` is no name of a bucket; {example}"));
    }
    let prefix = Path::parse(prefix.trim_matches('/'))
        .map_err(|_| format!("`{prefix}` is no prefix: parts must be neither empty nor `.` or `..`; {example}"))?;
    let mut options = Options::default();
    if query.split('&').any(|pair| !pair.is_empty() && !pair.contains('=')) {
        return Err(format!("options are NAME=VALUE, set apart by `&`; the options are {OPTIONS}"));
    }
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        options.set(&name, &value)?;
    }
    Ok(S3Address { text: text.into(), bucket: bucket.into(), prefix, options })
}

impl Options {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let bad = |what: String| format!("{name}: {what}");
        match name {
            "region" if value.is_empty() => return Err(bad("it is empty; such as eu-central-1".into())),
            "region" => self.region = Some(value.into()),
            "endpoint" => self.endpoint = Some(endpoint(value).map_err(bad)?),
            "allow_http" => self.allow_http = Some(truth(value).map_err(bad)?),
            "path_style" => self.path_style = Some(truth(value).map_err(bad)?),
            "timeout" => self.timeout = Some(duration(value).map_err(bad)?),
            "connect_timeout" => self.connect_timeout = Some(duration(value).map_err(bad)?),
            "retry_timeout" => self.retry_timeout = Some(duration(value).map_err(bad)?),
            "retries" => {
                let wrong = |_| bad(format!("`{value}` is no number of further attempts, such as 10"));
                self.retries = Some(value.parse().map_err(wrong)?);
            }
            "multipart_above" => self.multipart_above = Some(multipart_above(value).map_err(bad)?),
            _ if is_secret(name) => return Err(CREDENTIALS.into()),
            _ => return Err(format!("there is no option `{name}`; the options are {OPTIONS}")),
        }
        Ok(())
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "secret", "token", "password", "credential", "signature"].iter().any(|part| name.contains(part))
}

fn endpoint(text: &str) -> Result<Url, String> {
    let example = "such as https://minio.example.com:9000";
    // What is wrong with it is not repeated: it may be a password.
    let url = Url::parse(text).map_err(|_| format!("it is no URL; {example}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("it must begin with https:// (or http://); {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(CREDENTIALS.into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("it must end before `?` and `#`; {example}"));
    }
    Ok(url)
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; such as 500ms, 30s or 2m");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    match u64::from(number) * unit_ms {
        0 => Err(wrong()),
        ms => Ok(Duration::from_millis(ms)),
    }
}

fn multipart_above(text: &str) -> Result<u64, String> {
    let (number, unit) = text.strip_suffix("MiB").map_or((text, 1), |number| (number, 1024 * 1024));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| (MULTIPART_ABOVE_MIN..=MULTIPART_ABOVE_MAX).contains(bytes))
        .ok_or_else(|| format!("`{text}` is no length from 5MiB to 5120MiB, in bytes or with MiB, such as 64MiB"))
}

/// Whether a value could have a user and a password in it, as a URL has before `@`.
fn may_name_a_user(value: &str) -> bool {
    value.contains('@') || value.contains("%40")
}

/// An address as it may be told: without what could be secret.
fn without_secrets(text: &str) -> String {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let path = match path.rsplit_once('@') {
        Some((_, after)) => format!("{SCHEME}…@{after}"),
        None => path.into(),
    };
    let told = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if OPTIONS.split(", ").any(|option| option == name) && !may_name_a_user(value) => {
            pair.into()
        }
        Some((name, _)) => format!("{name}=…"),
        None => String::from("…"),
    };
    match query {
        Some(query) => format!("{path}?{}", query.split('&').map(told).collect::<Vec<String>>().join("&")),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<S3Address> {
        text.parse()
    }

    #[test]
    fn all_that_an_address_may_say() {
        let text = "s3://b.u-c_k/deep/down/?region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1%3A9000&allow_http=true&\
                    path_style=false&timeout=500ms&connect_timeout=1s&retries=3&retry_timeout=2m&multipart_above=64MiB";
        let address = read(text).unwrap();
        assert_eq!((address.bucket(), address.prefix(), address.to_string()), ("b.u-c_k", "deep/down", text.into()));
        let limits = RetryLimits { attempts: 3, within: Duration::from_secs(120) };
        assert_eq!((address.limits(), address.multipart_above()), (limits, 64 << 20));
        assert_eq!(address.options.endpoint.as_ref().unwrap().as_str(), "http://127.0.0.1:9000/");
        assert_eq!(address.options.timeout, Some(Duration::from_millis(500)));
        let plain = read("s3://bucket").unwrap();
        assert_eq!((plain.prefix(), plain.limits(), plain.multipart_above()), ("", RetryLimits::default(), 16 << 20));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("s3://", "a bucket must follow"),
            ("s3:///prefix", "a bucket must follow"),
            ("s3:bucket", "write s3://BUCKET/PREFIX"),
            ("s3://bu cket", "no name of a bucket"),
            ("s3://b/a//b", "no prefix"),
            ("s3://b/../c", "no prefix"),
            ("s3://b?regoin=x", "there is no option `regoin`; the options are region, endpoint"),
            ("s3://b?region=", "region: it is empty"),
            ("s3://b?timeout=30", "timeout: `30` is not a time"),
            ("s3://b?timeout=0s", "is not a time"),
            ("s3://b?timeout=99999999999s", "is not a time"),
            ("s3://b?retries=-1", "no number of further attempts"),
            ("s3://b?allow_http=yes", "neither true nor false"),
            ("s3://b?endpoint=minio:9000", "must begin with https://"),
            ("s3://b?endpoint=minio", "it is no URL"),
            ("s3://b?multipart_above=1MiB", "no length from 5MiB"),
            ("s3://b?multipart_above=99999999999999999999", "no length from 5MiB"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn no_secret_is_repeated() {
        for text in [
            "s3://AKIA:hunter2@bucket/prefix",
            "s3://bucket?secret_access_key=hunter2",
            "s3://bucket?region=x&AWS_SECRET_ACCESS_KEY=hunter2",
            "s3://bucket?session_token=hunter2",
            "s3://bucket?hunter2",
            "s3://bucket?pin=hunter2",
            "s3://bucket?endpoint=https://user:hunter2@host",
            "s3://bucket?endpoint=https%3A%2F%2Fuser%3Ahunter2%40host",
        ] {
            let error = read(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn an_endpoint_without_encryption_must_be_meant() {
        let error = read("s3://b?endpoint=http://127.0.0.1:1").unwrap().client().unwrap_err().to_string();
        assert!(error.contains("allow_http=true"), "{error}");
        read("s3://b?endpoint=http://127.0.0.1:1&allow_http=true").unwrap().client().unwrap();
        read("s3://b?endpoint=https://127.0.0.1:1&timeout=30s&connect_timeout=500ms").unwrap().client().unwrap();
        read("s3://b?endpoint=https://store.example.com&path_style=false").unwrap().client().unwrap();
    }
}
