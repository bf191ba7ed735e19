//! Owns the union of HyperLogLogs: the highest value of each register, a byte each while it is computed.

use super::{Corrupted, HEAD, Histogram, REGISTERS, dense, estimate, is_sparse, sparse};

/// The registers of a union.
pub struct Registers(pub(super) Box<[u8; REGISTERS]>);

impl Registers {
    pub fn new() -> Registers {
        Registers(Box::new([0; REGISTERS]))
    }

    /// Those of one HyperLogLog.
    pub fn of(bytes: &[u8]) -> Result<Registers, Corrupted> {
        let mut registers = Registers::new();
        registers.merge(bytes)?;
        Ok(registers)
    }

    /// Adds a HyperLogLog. One that is corrupted may have been added in part.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupted> {
        if is_sparse(bytes) {
            return sparse::for_each_run(&bytes[HEAD..], |first, len, value| {
                if value > 0 {
                    self.0[first..first + len].iter_mut().for_each(|max| *max = value.max(*max));
                }
            });
        }
        let values = dense::iter(&bytes[HEAD..]);
        self.0.iter_mut().zip(values).for_each(|(max, value)| *max = value.max(*max));
        Ok(())
    }

    pub fn count(&self) -> u64 {
        let mut histogram: Histogram = [0; 64];
        self.0.iter().for_each(|value| histogram[usize::from(*value)] += 1);
        estimate::count(&histogram)
    }

    /// Raises the registers of a HyperLogLog to these.
    pub fn store_in(&self, bytes: &mut Vec<u8>, sparse_max_bytes: usize) -> Result<(), Corrupted> {
        for (index, value) in self.0.iter().enumerate().filter(|(_, value)| **value > 0) {
            match is_sparse(bytes) {
                true => sparse::raise(bytes, index, *value, sparse_max_bytes)?,
                false => dense::raise(&mut bytes[HEAD..], index, *value),
            };
        }
        Ok(())
    }

    pub fn values(&self) -> &[u8] {
        &*self.0
    }
}

impl Default for Registers {
    fn default() -> Self {
        Registers::new()
    }
}
