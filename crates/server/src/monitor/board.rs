//! Where the loop puts its figures and the thread takes them from. Neither waits for the other.

use std::sync::{Arc, Mutex, PoisonError};

use crate::monitor::figures::Figures;
use crate::monitor::history::History;

/// What the thread answers from. The lock is held to take or put a pointer, never while text is made.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    pub figures: Option<Arc<Figures>>,
    pub history: Arc<History>,
    pub is_ending: bool,
}

impl Board {
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The figures of this second.
    pub fn put(&self, figures: Figures) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A scrape that reads the history keeps its own; otherwise nothing is copied.
        Arc::make_mut(&mut state.history).note(&figures);
        state.figures = Some(Arc::new(figures));
    }

    pub fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_ending = true;
    }
}
