//! Commands as we send them: a RESP array of bulks, the one form on replication links and in AOFs.

use crate::number::{decimal_len, push_header};

/// Appends a command, its name first, as an array of bulk strings.
pub fn encode_command<'a, I>(out: &mut Vec<u8>, args: I)
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: Clone,
{
    let args = args.into_iter();
    push_header(out, b'*', args.clone().count());
    for arg in args {
        out.reserve(arg.len() + 16);
        push_header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// How many bytes [`encode_command`] appends for these arguments.
pub fn encoded_command_len<'a, I>(args: I) -> usize
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: Clone,
{
    let args = args.into_iter();
    let header = decimal_len(args.clone().count()) + 3;
    header + args.map(|arg| decimal_len(arg.len()) + arg.len() + 5).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulks() {
        let long = [b'a'; 100];
        for args in [&[&b"PING"[..]][..], &[b"SET", b"", &long], &[&b"x"[..]; 12]] {
            let mut out = Vec::new();
            encode_command(&mut out, args.iter().copied());
            assert_eq!(out.len(), encoded_command_len(args.iter().copied()));
        }
        let mut out = Vec::new();
        encode_command(&mut out, [&b"SELECT"[..], b"0"]);
        assert_eq!(out, b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n");
    }
}
