//! What arrives at a simulated server, handed to its node: the bytes of connections, as far as the node
//! wants them.

use super::net::End;
use super::os::{Conn, SimOs};
use engine::{ClientId, Kind, Peer};
use node::Node;
use protocol::Limits;
use repl::LinkId;

pub fn link_at(os: &SimOs<'_>, end: End) -> Option<LinkId> {
    os.me.link.as_ref().filter(|link| link.end == end).map(|link| link.id)
}

pub fn accept(node: &mut Node, os: &mut SimOs<'_>, end: End) {
    let id = node.connect(Kind::Normal, Peer::default());
    os.me.conns.insert(id, Conn { end: Some(end), ..Conn::default() });
}

pub fn read(node: &mut Node, os: &mut SimOs<'_>, end: End) {
    if link_at(os, end).is_some() {
        return read_link(node, os);
    }
    while let Some(id) = os.me.conn_at(end) {
        let bytes = os.world.net.read(end);
        let Some(conn) = os.me.conns.get_mut(&id).filter(|_| !bytes.is_empty()) else { return };
        conn.parser.feed(&bytes);
        node.handle_client_alive(id);
        run_requests(node, os, id);
    }
}

pub fn run_requests(node: &mut Node, os: &mut SimOs<'_>, id: ClientId) {
    let Some(conn) = os.me.conns.get_mut(&id) else { return };
    // Lent out while its commands run, which may close the connection.
    let mut parser = std::mem::take(&mut conn.parser);
    let is_blocked = |node: &Node| node.engine.client(id).is_none_or(|client| client.is_blocked());
    while !is_blocked(node) && parser.parse(&Limits::default(), 1).expect("peers make sense") > 0 {
        node.execute(os, id, parser.request(0).args());
        parser.consume(1);
    }
    if let Some(conn) = os.me.conns.get_mut(&id) {
        conn.parser = parser;
    }
}

pub fn read_link(node: &mut Node, os: &mut SimOs<'_>) {
    while let Some(link) = os.me.link.as_ref().filter(|_| node.wants_master_bytes(os)) {
        let (id, end, is_over) = (link.id, link.end, link.is_over);
        let bytes = os.world.net.read(end);
        if !bytes.is_empty() {
            node.handle_master_bytes(os, id, &bytes);
        } else if is_over {
            os.me.link = None;
            return node.handle_link_closed(os, id, "connection lost");
        } else {
            return;
        }
    }
}

pub fn closed(node: &mut Node, os: &mut SimOs<'_>, end: End) {
    if let Some(link) = os.me.link.as_mut().filter(|link| link.end == end) {
        link.is_over = true;
        read_link(node, os);
    } else if let Some(id) = os.me.conn_at(end) {
        os.me.conns.remove(&id);
        node.disconnected(id);
    }
}
