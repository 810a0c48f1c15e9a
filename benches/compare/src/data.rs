//! What is measured on: real flights, Nexmark bids, and running totals of bids. No random bytes, and the same
//! in every run.

use std::collections::BTreeMap;

use eventflux_benches::{Numbers, flights};
use eventflux_core::{Event, Value};
use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::{Event as NexmarkEvent, EventType};
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 3_600_000;
/// Bids of the comparisons of bytes: as many bytes in rows as four months of flights have.
const BIDS: usize = 400_000;
/// When the first bid came: 2015-07-15T00:00Z, as in Nexmark's own generator.
const BIDS_FROM_MS: u64 = 1_436_918_400_000;
/// Number of the first auction in Nexmark.
const FIRST_AUCTION: u64 = 1000;

/// Events with the names of their fields.
#[derive(Debug, Clone)]
pub struct Events {
    /// Names of the values, in order.
    pub fields: Vec<String>,
    /// The events, in input order.
    pub events: Vec<Event>,
}

/// One window of one key, with what it buffers: as rows, the way a program without columns has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowRows {
    /// Key of the stream.
    pub key: Vec<u8>,
    /// First millisecond.
    pub start: i64,
    /// First millisecond after it.
    pub end: i64,
    /// The events.
    pub events: Vec<Event>,
}

/// A key of 8 bytes.
pub type Key = [u8; 8];
/// A value of 16 bytes: a count and a sum.
pub type Payload = [u8; 16];
/// A keyed value.
pub type Entry = (Key, Payload);

/// The flights of January to April 2013: time from `time_hour`, and the 18 other columns.
pub fn four_months() -> Events {
    let mut flights = flights::load(&flights::four_months());
    let at = flights.fields.iter().position(|field| field == "time_hour").expect("the flights have it");
    flights.fields.remove(at);
    for event in &mut flights.events {
        event.values.remove(at);
    }
    Events { fields: flights.fields, events: flights.events }
}

/// Bids of Nexmark: auction, bidder, price and channel at the time of the bid.
pub fn bids() -> Events {
    let config = NexmarkConfig { base_time: BIDS_FROM_MS, ..NexmarkConfig::default() };
    let generator = EventGenerator::new(config).with_type_filter(EventType::Bid);
    let to_event = |event| {
        let NexmarkEvent::Bid(bid) = event else { unreachable!("only bids were asked for") };
        let number = |number: usize| Value::Int(number as i64);
        let values = vec![number(bid.auction), number(bid.bidder), number(bid.price), bid.channel.as_str().into()];
        Event::new(bid.date_time as i64, values)
    };
    let fields = ["auction", "bidder", "price", "channel"].map(String::from).into();
    Events { fields, events: generator.take(BIDS).map(to_event).collect() }
}

impl Events {
    /// Place of a field.
    pub fn place(&self, field: &str) -> usize {
        self.fields.iter().position(|other| other == field).expect("a field of the data")
    }

    /// All events in one window of one key.
    pub fn one_window(&self) -> Vec<WindowRows> {
        let (start, end) = (self.events[0].timestamp / DAY_MS * DAY_MS, i64::MAX);
        vec![WindowRows { key: b"all".to_vec(), start, end, events: self.events.clone() }]
    }

    /// Tumbling windows of a day, by key.
    pub fn daily(&self, key_of: impl Fn(&Event) -> String) -> Vec<WindowRows> {
        self.tumbling(DAY_MS, key_of)
    }

    /// Tumbling windows, by key.
    pub fn tumbling(&self, size_ms: i64, key_of: impl Fn(&Event) -> String) -> Vec<WindowRows> {
        let mut windows: BTreeMap<(String, i64), Vec<Event>> = BTreeMap::new();
        for event in &self.events {
            let start = event.timestamp.div_euclid(size_ms) * size_ms;
            windows.entry((key_of(event), start)).or_default().push(event.clone());
        }
        let to_rows = |((key, start), events)| {
            let end = start + size_ms;
            WindowRows { key: String::into_bytes(key), start, end, events }
        };
        windows.into_iter().map(to_rows).collect()
    }

    /// The events before a time.
    pub fn before(&self, time_ms: i64) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.timestamp < time_ms)
    }
}

/// Running totals by auction: how many bids, and the sum of their prices. Eight bytes each.
#[derive(Debug)]
pub struct Totals {
    totals: Vec<(u64, u64)>,
    prices: Vec<u64>,
    numbers: Numbers,
}

impl Totals {
    /// Totals of so many auctions that had some bids each.
    pub fn new(keys: usize) -> Self {
        let config = NexmarkConfig { base_time: BIDS_FROM_MS, ..NexmarkConfig::default() };
        let bids = EventGenerator::new(config).with_type_filter(EventType::Bid).take(65_536);
        let price = |event| if let NexmarkEvent::Bid(bid) = event { bid.price as u64 } else { 0 };
        let prices: Vec<u64> = bids.map(price).collect();
        let mut totals = Totals { totals: vec![(0, 0); keys], prices, numbers: Numbers::new(7) };
        for key in 0..keys {
            for _ in 0..1 + totals.numbers.below(12) {
                totals.bid(key);
            }
        }
        totals
    }

    /// The total of a key, one more bid in it.
    pub fn bid(&mut self, key: usize) -> Entry {
        let price = self.prices[self.numbers.below(self.prices.len() as u64) as usize];
        let total = &mut self.totals[key];
        *total = (total.0 + 1, total.1 + price);
        self.entry(key)
    }

    /// The total of a key as it is.
    pub fn entry(&self, key: usize) -> Entry {
        let (count, sum) = self.totals[key];
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&count.to_le_bytes());
        payload[8..].copy_from_slice(&sum.to_le_bytes());
        ((FIRST_AUCTION + key as u64).to_be_bytes(), payload)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.totals.len()
    }

    /// All totals.
    pub fn entries(&self) -> Vec<Entry> {
        (0..self.len()).map(|key| self.entry(key)).collect()
    }

    /// Bids on so many different auctions, spread over all of them.
    pub fn bid_on(&mut self, count: usize) -> Vec<Entry> {
        let keys = self.len();
        let mut chosen = hashbrown::HashSet::with_capacity(count);
        let mut changes = Vec::with_capacity(count);
        while changes.len() < count.min(keys) {
            let key = self.numbers.below(keys as u64) as usize;
            if chosen.insert(key) {
                changes.push(self.bid(key));
            }
        }
        changes
    }

    /// Bids one after the other, on any auctions.
    pub fn bids(&mut self, count: usize) -> Vec<Entry> {
        let keys = self.len() as u64;
        (0..count)
            .map(|_| {
                let key = self.numbers.below(keys) as usize;
                self.bid(key)
            })
            .collect()
    }
}
