//! Gives defragmentation its time: from cron, and from the loop when a cycle is due.

use node::Node;

use crate::os::host::Host;

impl Host {
    pub fn defrag_cron(&mut self, node: &Node) {
        let child = self.disk.children.is_active();
        self.process.defrag.cron(&self.config.memory, child, node.now().mono_us);
    }

    pub fn defrag_due_us(&self) -> Option<u64> {
        self.process.defrag.due_us()
    }

    pub fn defrag_cycle(&mut self, node: &mut Node) {
        // DEBUG PAUSE-CRON holds this, too.
        let held = self.disk.children.is_active() || self.process.cron_paused;
        let (config, keyspace) = (&self.config.memory, &mut node.engine.keyspace);
        let took_us = self.process.defrag.cycle(config, keyspace, held);
        node.engine.record_latency("active-defrag-cycle", took_us);
    }
}
