//! Asks a run for its metrics, as Prometheus does, and reads what it answers.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take before the server counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends a request as it is and reads the answer to its end; `None` if the server hangs up before.
pub fn request(address: &str, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    (len.parse() == Ok(body.len())).then(|| Answer { status, head: head.into(), body: body.into() })
}

/// The metrics as they are now.
pub fn scrape(address: &str) -> Option<Page> {
    let answer = request(address, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n")?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("Content-Type: text/plain; version=0.0.4"), "{}", answer.head);
    Some(Page::parse(&answer.body))
}

/// A page of metrics in the text format of Prometheus, checked while it is read.
#[derive(Debug, Default, Clone)]
pub struct Page {
    /// Kind of each metric.
    pub kinds: BTreeMap<String, String>,
    /// Value of each sample, by its name and labels as they are written.
    pub samples: BTreeMap<String, f64>,
}

impl Page {
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut page = Page::default();
        let mut described = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(help.ends_with('.'), "{line}");
                described.push(name.to_owned());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(described.last().is_some_and(|described| described == name), "{name} is not described");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(page.kinds.insert(name.into(), kind.into()).is_none(), "{name} comes twice");
            } else {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let name = sample.split('{').next().unwrap();
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let of_histogram =
                    base.is_some_and(|base| page.kinds.get(base).is_some_and(|kind| kind == "histogram"));
                assert!(of_histogram || page.kinds.contains_key(name), "{line} is of no metric");
                let value: f64 = value.parse().unwrap();
                assert!(value >= 0.0 && value.is_finite(), "{line}");
                assert!(page.samples.insert(sample.into(), value).is_none(), "{sample} comes twice");
            }
        }
        page.check_histograms();
        page
    }

    /// Buckets rise up to the count.
    fn check_histograms(&self) {
        for (sample, count) in &self.samples {
            let Some((name, labels)) = sample.split_once("_count{") else { continue };
            let of = format!("{name}_bucket{{{}", labels.strip_suffix('}').unwrap());
            let mut buckets = Vec::new();
            for (bucket, value) in self.samples.iter().filter(|(bucket, _)| bucket.starts_with(&of)) {
                let bound = bucket.split("le=\"").nth(1).unwrap().trim_end_matches("\"}");
                buckets.push((bound.parse::<f64>().unwrap(), *value));
            }
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{sample}: {buckets:?}");
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{sample}");
        }
    }

    /// A sample of the application, with these labels behind its own.
    #[track_caller]
    pub fn get(&self, name: &str, labels: &str) -> f64 {
        let sample = format!("{name}{{application=\"flights\"{labels}}}");
        *self.samples.get(&sample).unwrap_or_else(|| panic!("no {sample} in {:#?}", self.samples))
    }

    /// The sum of all samples of a name.
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = |sample: &str| sample.split('{').next() == Some(name);
        self.samples.iter().filter(|(sample, _)| of_name(sample)).map(|(_, value)| value).sum()
    }

    /// Asserts that no counter, and no count of a histogram, was higher before.
    pub fn assert_follows(&self, before: &Page) {
        for (sample, value) in &before.samples {
            let name = sample.split('{').next().unwrap();
            let counts = ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
            assert!(
                !counts || self.samples[sample] >= *value,
                "{sample} fell from {value} to {}",
                self.samples[sample]
            );
        }
    }
}
