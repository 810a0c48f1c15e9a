//! A subscriber that keeps what it is told: spans once they close, and events.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

type Fields = BTreeMap<String, String>;

/// A span that has closed.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: &'static str,
    pub level: Level,
    pub fields: Fields,
    /// The span around it; `None`: there was none.
    pub parent: Option<u64>,
    pub id: u64,
    /// Place among all spans and events, by when it was opened and closed.
    pub opened: usize,
    pub closed: usize,
    /// How often it was entered.
    pub entered: usize,
}

/// An event.
#[derive(Debug, Clone)]
pub struct Told {
    pub target: String,
    pub level: Level,
    pub fields: Fields,
}

/// What was recorded so far; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Recorded(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    clock: usize,
    spans: Vec<Span>,
    events: Vec<Told>,
}

struct Collect<'a>(&'a mut Fields);

impl Visit for Collect<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}

impl Recorded {
    /// A subscriber that records here.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        Registry::default().with(self.clone())
    }

    /// Spans that have closed, in the order in which they were opened.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = self.0.lock().unwrap().spans.clone();
        spans.sort_unstable_by_key(|span| span.opened);
        spans
    }

    /// Events, in their order.
    pub fn events(&self) -> Vec<Told> {
        self.0.lock().unwrap().events.clone()
    }

    fn tick(&self) -> usize {
        let mut kept = self.0.lock().unwrap();
        kept.clock += 1;
        kept.clock
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorded {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut fields = Fields::new();
        attributes.record(&mut Collect(&mut fields));
        let (name, level) = (span.name(), *span.metadata().level());
        let parent = span.parent().map(|parent| parent.id().into_u64());
        let opened = self.tick();
        let id = id.into_u64();
        span.extensions_mut().insert(Span { name, level, fields, parent, id, opened, closed: 0, entered: 0 });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        values.record(&mut Collect(&mut extensions.get_mut::<Span>().unwrap().fields));
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        span.extensions_mut().get_mut::<Span>().unwrap().entered += 1;
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let mut closed = span.extensions_mut().remove::<Span>().unwrap();
        closed.closed = self.tick();
        self.0.lock().unwrap().spans.push(closed);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Collect(&mut fields));
        let (target, level) = (event.metadata().target().into(), *event.metadata().level());
        self.0.lock().unwrap().events.push(Told { target, level, fields });
    }
}
