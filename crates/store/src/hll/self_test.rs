//! Owns what PFSELFTEST tests: that registers keep what they are set to and leave their neighbours alone, that
//! both forms agree, and that estimates are as close as they must be.

use fastrand::Rng;

use super::{DENSE_BYTES, HEAD, Registers, add, count, dense, empty_bytes, is_sparse};

const CYCLES: usize = 1000;
/// How many elements are added at most.
const ELEMENTS: u64 = 10_000_000;
/// The standard error is 1.04 / sqrt(registers); so many of them are taken for a defect.
const ERRORS: f64 = 6.0 * 1.04 / 128.0;

/// What is wrong, if anything is.
pub fn self_test(rng: &mut Rng, sparse_max_bytes: usize) -> Result<(), String> {
    keeps_registers(rng)?;
    estimates(rng, sparse_max_bytes)
}

fn keeps_registers(rng: &mut Rng) -> Result<(), String> {
    let mut registers = vec![0; dense::BYTES];
    let mut expected = Registers::new();
    for _ in 0..CYCLES {
        for (index, value) in expected.0.iter_mut().enumerate() {
            *value = rng.u8(..64);
            dense::set(&mut registers, index, *value);
        }
        let mut both = expected.0.iter().zip(dense::iter(&registers)).enumerate();
        if let Some((index, (value, kept))) = both.find(|(_, (value, kept))| **value != *kept) {
            return Err(format!("Register {index} should be {value} but is {kept}"));
        }
    }
    Ok(())
}

fn estimates(rng: &mut Rng, sparse_max_bytes: usize) -> Result<(), String> {
    let mut sparse = empty_bytes();
    let mut dense = empty_bytes();
    dense.truncate(HEAD);
    dense.resize(DENSE_BYTES, 0);
    dense[4] = 0;
    let seed = rng.u64(..);
    let mut checkpoint = 1;
    for added in 1..=ELEMENTS {
        let element = (added ^ seed).to_le_bytes();
        for bytes in [&mut sparse, &mut dense] {
            add(bytes, &element, sparse_max_bytes).map_err(|error| error.to_string())?;
        }
        if added < checkpoint {
            continue;
        }
        if added < sparse_max_bytes as u64 / 2 && !is_sparse(&sparse) {
            return Err("sparse encoding not used".to_string());
        }
        let estimate = count(&dense);
        if count(&sparse) != estimate {
            return Err("dense/sparse disagree".to_string());
        }
        let error = estimate.map_err(|error| error.to_string())?.abs_diff(added);
        // Two of ten elements share a register now and then, which a few errors do not allow for.
        let bound = if added == 10 { 1 } else { (ERRORS * added as f64).ceil() as u64 };
        if error > bound {
            return Err(format!("Too big error. card:{added} abserr:{error}"));
        }
        checkpoint *= 10;
    }
    Ok(())
}
