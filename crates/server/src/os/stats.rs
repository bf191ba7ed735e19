//! Counters and rates of INFO that belong to sockets, forks and the loop.

/// Counters of INFO that belong to sockets and forks.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostStats {
    pub connections_received: u64,
    pub rejected_connections: u64,
    /// Clients whose handshake failed or took too long.
    pub tls_handshake_errors: u64,
    pub net_input_bytes: u64,
    pub net_output_bytes: u64,
    pub net_repl_input_bytes: u64,
    pub net_repl_output_bytes: u64,
    pub reads: u64,
    pub writes: u64,
    pub client_output_buffer_limit_disconnections: u64,
    pub client_query_buffer_limit_disconnections: u64,
    pub forks: u64,
    pub last_fork_us: u64,
    pub loop_turns: u64,
    /// Microseconds that the turns took, without the waits between them.
    pub loop_us: u64,
    /// The longest of them.
    pub loop_max_us: u64,
    /// Of these, what the timed work took.
    pub cron_us: u64,
    /// Commands of the turn that had most.
    pub turn_commands_max: u64,
    pub evicted_clients: u64,
}

const SAMPLE_EVERY_US: u64 = 100_000;
const SAMPLES: usize = 16;

/// The mean rate of the last samples, as INFO's `instantaneous_` fields have it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    samples: [u64; SAMPLES],
    next: usize,
    last_count: u64,
}

impl Rate {
    fn sample(&mut self, count: u64, elapsed_us: u64) {
        let grown = count.saturating_sub(self.last_count);
        self.last_count = count;
        self.samples[self.next] = (u128::from(grown) * 1_000_000 / u128::from(elapsed_us)) as u64;
        self.next = (self.next + 1) % SAMPLES;
    }

    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / SAMPLES as u64
    }
}

/// Rates of INFO stats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub input: Rate,
    pub output: Rate,
    pub repl_input: Rate,
    pub repl_output: Rate,
    pub turns: Rate,
    pub loop_us: Rate,
    sampled_us: u64,
}

impl Rates {
    /// Takes the counts of this moment in, where a sample is due.
    pub fn sample(&mut self, stats: &HostStats, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.sampled_us);
        if elapsed_us < SAMPLE_EVERY_US {
            return;
        }
        self.sampled_us = now_us;
        self.input.sample(stats.net_input_bytes, elapsed_us);
        self.output.sample(stats.net_output_bytes, elapsed_us);
        self.repl_input.sample(stats.net_repl_input_bytes, elapsed_us);
        self.repl_output.sample(stats.net_repl_output_bytes, elapsed_us);
        self.turns.sample(stats.loop_turns, elapsed_us);
        self.loop_us.sample(stats.loop_us, elapsed_us);
    }
}
