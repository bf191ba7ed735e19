//! Owns what the process is to be called, after `proc-title-template`. Who shows it is the process's business.

use crate::config::Config;

impl Config {
    /// The template with its variables filled in.
    pub fn process_title(&self) -> String {
        let (general, network) = (&self.general, &self.network);
        let mut title = String::new();
        let mut rest = general.proc_title_template.as_str();
        while let Some(open) = rest.find('{') {
            title.push_str(&rest[..open]);
            let Some(len) = rest[open..].find('}') else { break };
            match &rest[open + 1..open + len] {
                "title" => title.push_str(&self.executable.to_string_lossy()),
                "listen-addr" => title.push_str(&self.listen_addr()),
                "port" => title.push_str(&network.port.to_string()),
                "tls-port" => title.push_str(&self.tls.tls_port.to_string()),
                "unixsocket" => title.push_str(&network.unixsocket.to_string()),
                "config-file" => {
                    let file = self.config_file.as_deref();
                    title.push_str(&file.map_or_else(String::new, |f| f.display().to_string()));
                }
                // The mode of a server that is neither a cluster's nor a sentinel has no name.
                _ => {}
            }
            rest = &rest[open + len + 1..];
        }
        title.push_str(rest);
        title.trim_matches(' ').to_owned()
    }

    /// The port that is told where one is: the plain one, or else the one that is encrypted.
    pub fn told_port(&self) -> u16 {
        if self.network.port != 0 { self.network.port } else { self.tls.tls_port }
    }

    fn listen_addr(&self) -> String {
        let network = &self.network;
        let port = self.told_port();
        if port == 0 {
            return network.unixsocket.to_string();
        }
        let host = network.bind.first().map_or("*", |address| &address.host);
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_has_what_its_template_asks_for() {
        let mut config = Config { executable: "/opt/redis-server".into(), ..Config::default() };
        assert_eq!(config.process_title(), "/opt/redis-server *:6379");
        config.general.proc_title_template = "A {title}-{port} {tls-port} {config-file} ".into();
        config.config_file = Some("/etc/redis.conf".into());
        assert_eq!(config.process_title(), "A /opt/redis-server-6379 0 /etc/redis.conf");
    }
}
