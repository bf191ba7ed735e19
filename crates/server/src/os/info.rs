//! The sections of INFO that speak of the process. Field names and their order are Redis 7.2's.

use engine::world::{EngineMemory, InfoLines};
use node::Facts;

use crate::os::certificates;
use crate::os::host::Host;
use crate::os::stats::HostStats;
use crate::process::lazy_free;
use crate::process::memory;
use crate::process::memory::{allocator_figures, human, resident_bytes, system_bytes};
use crate::process::version::REDIS_VERSION;
use crate::process::version::{TANDEM_VERSION, commit};

/// A macro for a table: `name` => value of any printable kind.
macro_rules! lines {
    ($($name:literal => $value:expr),* $(,)?) => { vec![$(($name, $value.to_string())),*] };
}

pub fn section(host: &Host, section: &str, facts: Facts<'_>) -> InfoLines {
    match section {
        "server" => server(host, facts),
        "clients" => clients(host, facts),
        "memory" => memory_section(host, EngineMemory::default(), facts),
        "persistence" => persistence(host, facts),
        "stats" => stats(host, facts),
        "cpu" => cpu(),
        "debug" => debug(&host.turn.stats),
        _ => Vec::new(),
    }
}

fn server(host: &Host, facts: Facts<'_>) -> InfoLines {
    let uname = nix::sys::utsname::uname().ok();
    let part = |f: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname.as_ref().map_or_else(String::new, |u| f(u).to_string_lossy().into_owned())
    };
    let os =
        format!("{} {} {}", part(|u| u.sysname()), part(|u| u.release()), part(|u| u.machine()));
    let general = &host.config.general;
    let now_s = facts.now.unix_us / 1_000_000;
    let uptime_s = now_s.saturating_sub(host.process.identity.started_unix_s);
    let config_file = host
        .config
        .config_file
        .as_ref()
        .map_or_else(String::new, |path| path.display().to_string());
    let mut out = lines! {
        "redis_version" => REDIS_VERSION,
        "redis_git_sha1" => commit(),
        "redis_git_dirty" => 0,
        "redis_build_id" => build_id(),
        "redis_mode" => "standalone",
        "server_name" => "tandem",
        "tandem_version" => TANDEM_VERSION,
        "os" => os,
        "arch_bits" => usize::BITS,
        "monotonic_clock" => "POSIX clock_gettime",
        "multiplexing_api" => "epoll",
        "atomicvar_api" => "rust-std",
        "gcc_version" => "0.0.0",
        "process_id" => host.process.identity.pid,
        "process_supervised" => supervised(host),
        "run_id" => host.process.identity.run_id,
        "tcp_port" => host.config.told_port(),
        "server_time_usec" => facts.now.unix_us,
        "uptime_in_seconds" => uptime_s,
        "uptime_in_days" => uptime_s / 86_400,
        "hz" => general.hz,
        "configured_hz" => general.hz,
        "lru_clock" => now_s & 0xff_ffff,
        "executable" => host.config.executable.display(),
        "config_file" => config_file,
        "io_threads_active" => 0,
    };
    if let Some(shutdown) = facts.shutdown {
        let left_us = shutdown.deadline_us.saturating_sub(facts.now.mono_us);
        out.push(("shutdown_in_milliseconds", (left_us / 1000).to_string()));
    }
    out.extend(listener_lines(host));
    out.extend(certificates::info_lines(host, now_s));
    out
}

/// Numbered by their kind, as Redis numbers them.
fn listener_lines(host: &Host) -> InfoLines {
    let network = &host.config.network;
    let mut out = Vec::new();
    let over_tcp = |name: &str, port: u16| {
        let binds: String = (network.bind.iter())
            .map(|b| format!(",bind={}{}", if b.optional { "-" } else { "" }, b.host))
            .collect();
        format!("name={name}{binds},port={port}")
    };
    if network.port != 0 {
        out.push(("listener0", over_tcp("tcp", network.port)));
    }
    if host.net.listeners.has_unix() {
        out.push(("listener1", format!("name=unix,bind={}", network.unixsocket)));
    }
    if host.config.tls.tls_port != 0 {
        out.push(("listener2", over_tcp("tls", host.config.tls.tls_port)));
    }
    out
}

fn supervised(host: &Host) -> &'static str {
    use crate::config::values::Choice;
    host.config.general.supervised.name()
}

/// Tells one build from another.
fn build_id() -> String {
    let mut id = 0xcbf2_9ce4_8422_2325u64;
    for byte in [TANDEM_VERSION, commit()].concat().bytes() {
        id = (id ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    format!("{id:x}")
}

fn clients(host: &Host, facts: Facts<'_>) -> InfoLines {
    let replicas = facts.repl.view(facts.now.mono_us / 1000).replicas.len();
    lines! {
        "connected_clients" => host.net.conns.len().saturating_sub(replicas),
        "maxclients" => host.config.network.maxclients,
        "client_recent_max_input_buffer" => host.net.client_peaks.max_input_bytes(),
        "client_recent_max_output_buffer" => host.net.client_peaks.max_output_bytes(),
    }
}

pub fn memory_section(host: &Host, engine: EngineMemory, facts: Facts<'_>) -> InfoLines {
    let used = host.process.memory.used_bytes();
    let peak = host.process.memory.peak_bytes().max(used);
    let startup = host.process.memory.startup_bytes().min(used);
    let rss = resident_bytes();
    let figures = allocator_figures();
    let system = system_bytes();
    let maxmemory = host.config.memory.maxmemory_bytes;
    let buffers = facts.repl.view(facts.now.mono_us / 1000).backlog.memory_bytes;
    // Replicas and backlog share their blocks: what goes beyond the backlog is there for replicas.
    let for_replicas = facts.repl.bytes_for_replicas().min(buffers);
    let backlog = buffers - for_replicas;
    let scripts = engine.scripts;
    let states = scripts.eval_state_bytes + scripts.function_state_bytes;
    let scripts_kept = scripts.eval_scripts_bytes + scripts.libraries_bytes;
    let overhead = startup
        + states
        + scripts_kept
        + buffers
        + host.disk.aof.buffer_bytes()
        + engine.clients_bytes
        + engine.tables_bytes;
    let dataset = used.saturating_sub(overhead);
    let percent = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
    let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let difference = |a: u64, b: u64| a as i64 - b as i64;
    let (lazy_pending, lazy_done) = lazy_free::counts();
    lines! {
        "used_memory" => used,
        "used_memory_human" => human(used),
        "used_memory_rss" => rss,
        "used_memory_rss_human" => human(rss),
        "used_memory_peak" => peak,
        "used_memory_peak_human" => human(peak),
        "used_memory_peak_perc" => format!("{:.2}%", percent(used, peak)),
        "used_memory_overhead" => overhead,
        "used_memory_startup" => startup,
        "used_memory_dataset" => dataset,
        "used_memory_dataset_perc" => format!("{:.2}%", percent(dataset, used - startup)),
        "allocator_allocated" => figures.allocated,
        "allocator_active" => figures.active,
        "allocator_resident" => figures.resident,
        "allocator_muzzy" => figures.muzzy,
        "total_system_memory" => system,
        "total_system_memory_human" => human(system),
        "used_memory_lua" => scripts.eval_state_bytes,
        "used_memory_vm_eval" => scripts.eval_state_bytes,
        "used_memory_lua_human" => human(scripts.eval_state_bytes),
        "used_memory_scripts_eval" => scripts.eval_scripts_bytes,
        "number_of_cached_scripts" => scripts.eval_scripts,
        "number_of_functions" => scripts.functions,
        "number_of_libraries" => scripts.libraries,
        "used_memory_vm_functions" => scripts.function_state_bytes,
        "used_memory_vm_total" => states,
        "used_memory_vm_total_human" => human(states),
        "used_memory_functions" => scripts.libraries_bytes,
        "used_memory_scripts" => scripts_kept,
        "used_memory_scripts_human" => human(scripts_kept),
        "maxmemory" => maxmemory,
        "maxmemory_human" => human(maxmemory),
        "maxmemory_policy" => maxmemory_policy(host),
        "allocator_frag_ratio" => format!("{:.2}", ratio(figures.active, figures.allocated)),
        "allocator_frag_bytes" => difference(figures.active, figures.allocated),
        "allocator_rss_ratio" => format!("{:.2}", ratio(figures.resident, figures.active)),
        "allocator_rss_bytes" => difference(figures.resident, figures.active),
        "rss_overhead_ratio" => format!("{:.2}", ratio(rss, figures.resident)),
        "rss_overhead_bytes" => difference(rss, figures.resident),
        "mem_fragmentation_ratio" => format!("{:.2}", ratio(rss, used)),
        "mem_fragmentation_bytes" => difference(rss, used),
        "mem_not_counted_for_evict" => host.disk.aof.buffer_bytes() + for_replicas,
        "mem_replication_backlog" => backlog,
        "mem_total_replication_buffers" => buffers,
        "mem_clients_slaves" => for_replicas,
        "mem_clients_normal" => engine.clients_bytes,
        "mem_cluster_links" => 0,
        "mem_aof_buffer" => host.disk.aof.buffer_bytes(),
        "mem_allocator" => memory::ALLOCATOR_NAME,
        "mem_overhead_db_hashtable_rehashing" => engine.rehashing_bytes,
        "active_defrag_running" => host.process.defrag.running_percent(),
        "lazyfree_pending_objects" => lazy_pending,
        "lazyfreed_objects" => lazy_done,
    }
}

fn maxmemory_policy(host: &Host) -> &'static str {
    use crate::config::values::Choice;
    host.config.memory.maxmemory_policy.name()
}

fn ok(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "err" }
}

fn persistence(host: &Host, facts: Facts<'_>) -> InfoLines {
    let (rdb, aof) = (host.disk.rdb.figures(), host.disk.aof.figures());
    let (aof_is_on, rewrites) = (host.disk.aof.is_on(), aof.rewrites);
    let child = host.disk.children.figures(facts.now.mono_us);
    let elapsed_s = |wanted: bool| match child.elapsed_us {
        Some(elapsed_us) if wanted => (elapsed_us / 1_000_000) as i64,
        _ => -1,
    };
    // What only waits for the file's name is a save for who asked for it.
    let is_about_to = host.disk.rdb.is_scheduled() && host.disk.rdb.is_unsettled();
    let saving = host.disk.children.is_saving_rdb() || is_about_to;
    let rewriting = host.disk.children.is_rewriting_aof() || aof.is_settling;
    let fork_percent = match child.keys_total {
        0 => 0.0,
        total => child.keys as f64 * 100.0 / total as f64,
    };
    let loading = host.disk.loading.figures();
    let mut out = lines! {
        "loading" => u8::from(loading.active && !loading.asynchronous),
        "async_loading" => u8::from(loading.active && loading.asynchronous),
        "current_cow_peak" => child.cow_bytes,
        "current_cow_size" => child.cow_bytes,
        "current_cow_size_age" => 0,
        "current_fork_perc" => format!("{fork_percent:.2}"),
        "current_save_keys_processed" => child.keys,
        "current_save_keys_total" => child.keys_total,
        "rdb_changes_since_last_save" => host.turn.dirty,
        "rdb_bgsave_in_progress" => u8::from(saving),
        "rdb_last_save_time" => rdb.last_save_unix_s,
        "rdb_last_bgsave_status" => ok(rdb.last_bgsave_ok),
        "rdb_last_bgsave_time_sec" => rdb.last_bgsave_s,
        "rdb_current_bgsave_time_sec" => elapsed_s(child.makes_rdb_file),
        "rdb_saves" => rdb.saves,
        "rdb_last_cow_size" => rdb.last_cow_bytes,
        "rdb_last_load_keys_expired" => rdb.last_load_keys_expired,
        "rdb_last_load_keys_loaded" => rdb.last_load_keys_loaded,
        "aof_enabled" => u8::from(aof_is_on),
        "aof_rewrite_in_progress" => u8::from(rewriting),
        "aof_rewrite_scheduled" => u8::from(rewrites.is_scheduled),
        "aof_last_rewrite_time_sec" => rewrites.last_s,
        "aof_current_rewrite_time_sec" => elapsed_s(rewriting),
        "aof_last_bgrewrite_status" => ok(rewrites.last_ok),
        "aof_rewrites" => rewrites.rewrites,
        "aof_rewrites_consecutive_failures" => rewrites.consecutive_failures,
        "aof_last_write_status" => ok(aof.last_write_ok),
        "aof_last_cow_size" => rewrites.last_cow_bytes,
        "module_fork_in_progress" => 0,
        "module_fork_last_cow_size" => 0,
    };
    if aof_is_on {
        out.extend(lines! {
            "aof_current_size" => aof.current_bytes,
            "aof_base_size" => aof.base_bytes,
            "aof_pending_rewrite" => 0,
            "aof_buffer_length" => aof.buffer_bytes,
            "aof_pending_bio_fsync" => u8::from(aof.has_pending_fsync),
            "aof_delayed_fsync" => aof.delayed_fsync,
            "aof_fsync_failed" => u8::from(aof.is_distrusted),
        });
    }
    if loading.active {
        out.extend(loading_lines(host, facts));
    }
    out
}

fn loading_lines(host: &Host, facts: Facts<'_>) -> InfoLines {
    let loading = host.disk.loading.figures();
    let (total, loaded) = (loading.total_bytes, loading.loaded_bytes);
    let percent = if total == 0 { 0.0 } else { loaded as f64 * 100.0 / total as f64 };
    let elapsed_s = (facts.now.unix_us / 1_000_000).saturating_sub(loading.started_unix_s);
    let left = total.saturating_sub(loaded);
    let eta_s = (elapsed_s * left).checked_div(loaded).unwrap_or(1);
    lines! {
        "loading_start_time" => loading.started_unix_s,
        "loading_total_bytes" => total,
        "loading_rdb_used_mem" => 0,
        "loading_loaded_bytes" => loaded,
        "loading_loaded_perc" => format!("{percent:.2}"),
        "loading_eta_seconds" => eta_s,
    }
}

fn stats(host: &Host, facts: Facts<'_>) -> InfoLines {
    let stats = &host.turn.stats;
    let syncs = facts.repl.stats();
    let rates = &host.turn.rates;
    let (defrag, now_us) = (&host.process.defrag, facts.now.mono_us);
    let moves = defrag.stats();
    lines! {
        "total_connections_received" => stats.connections_received,
        "total_net_input_bytes" => stats.net_input_bytes,
        "total_net_output_bytes" => stats.net_output_bytes + stats.net_repl_output_bytes,
        "total_net_repl_input_bytes" => stats.net_repl_input_bytes,
        "total_net_repl_output_bytes" => stats.net_repl_output_bytes,
        "instantaneous_input_kbps" => format!("{:.2}", rates.input.per_second() as f64 / 1024.0),
        "instantaneous_output_kbps" => format!("{:.2}", rates.output.per_second() as f64 / 1024.0),
        "instantaneous_input_repl_kbps" =>
            format!("{:.2}", rates.repl_input.per_second() as f64 / 1024.0),
        "instantaneous_output_repl_kbps" =>
            format!("{:.2}", rates.repl_output.per_second() as f64 / 1024.0),
        "rejected_connections" => stats.rejected_connections,
        "sync_full" => syncs.full(),
        "sync_partial_ok" => syncs.partial_ok,
        "sync_partial_err" => syncs.partial_err,
        "latest_fork_usec" => stats.last_fork_us,
        "total_forks" => stats.forks,
        "migrate_cached_sockets" => host.net.migrations.len(),
        "active_defrag_hits" => moves.moved,
        "active_defrag_misses" => moves.kept,
        "active_defrag_key_hits" => moves.moved_keys,
        "active_defrag_key_misses" => moves.kept_keys,
        "total_active_defrag_time" => defrag.total_ms(now_us),
        "current_active_defrag_time" => defrag.current_ms(now_us),
        "total_reads_processed" => stats.reads,
        "total_writes_processed" => stats.writes,
        "evicted_clients" => stats.evicted_clients,
        "eventloop_cycles" => stats.loop_turns,
        "eventloop_duration_sum" => stats.loop_us,
        "instantaneous_eventloop_cycles_per_sec" => rates.turns.per_second(),
        "instantaneous_eventloop_duration_usec" =>
            rates.loop_us.per_second().checked_div(rates.turns.per_second()).unwrap_or(0),
        "client_query_buffer_limit_disconnections" => stats.client_query_buffer_limit_disconnections,
        "client_output_buffer_limit_disconnections" =>
            stats.client_output_buffer_limit_disconnections,
        "tls_handshake_errors" => stats.tls_handshake_errors,
    }
}

/// Redis's figures of its loop. The append-only file is another thread's work.
fn debug(stats: &HostStats) -> InfoLines {
    lines! {
        "eventloop_duration_aof_sum" => 0,
        "eventloop_duration_cron_sum" => stats.cron_us,
        "eventloop_duration_max" => stats.loop_max_us,
        "eventloop_cmd_per_cycle_max" => stats.turn_commands_max,
    }
}

fn cpu() -> InfoLines {
    use nix::sys::resource::{UsageWho, getrusage};
    let times = |who| match getrusage(who) {
        Ok(usage) => {
            let text =
                |time: nix::sys::time::TimeVal| format!("{}.{:06}", time.tv_sec(), time.tv_usec());
            (text(usage.system_time()), text(usage.user_time()))
        }
        Err(_) => ("0.000000".to_owned(), "0.000000".to_owned()),
    };
    let (own_sys, own_user) = times(UsageWho::RUSAGE_SELF);
    let (child_sys, child_user) = times(UsageWho::RUSAGE_CHILDREN);
    let (thread_sys, thread_user) = times(UsageWho::RUSAGE_THREAD);
    lines! {
        "used_cpu_sys" => own_sys,
        "used_cpu_user" => own_user,
        "used_cpu_sys_children" => child_sys,
        "used_cpu_user_children" => child_user,
        "used_cpu_sys_main_thread" => thread_sys,
        "used_cpu_user_main_thread" => thread_user,
    }
}
