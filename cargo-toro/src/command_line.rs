//! The kernel's command line (ARCHITECTURE.md, "The command line"): words, quoted where they must be.

/// A command line under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    text: String,
}

impl CommandLine {
    /// Appends one word.
    pub fn push(&mut self, word: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let needs_quotes = |c: char| c.is_whitespace() || c == '"' || c == '\\';
        if word.is_empty() || word.contains(needs_quotes) {
            self.text.push('"');
            for c in word.chars() {
                if c == '"' || c == '\\' {
                    self.text.push('\\');
                }
                self.text.push(c);
            }
            self.text.push('"');
        } else {
            self.text.push_str(word);
        }
    }

    /// Appends the program's arguments.
    pub fn push_arguments(&mut self, arguments: &[String]) {
        for argument in arguments {
            self.push(&format!("arg={argument}"));
        }
    }

    /// The text as the kernel reads it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_needed() {
        let mut line = CommandLine::default();
        line.push("net=dhcp");
        line.push("env=GREETING=good \"day\"");
        line.push_arguments(&["a".into(), String::new(), r"c:\".into()]);
        assert_eq!(
            line.as_str(),
            r#"net=dhcp "env=GREETING=good \"day\"" arg=a arg= "arg=c:\\""#
        );
    }

    #[test]
    fn no_arguments_leave_the_defaults_alone() {
        let mut line = CommandLine::default();
        line.push_arguments(&[]);
        assert_eq!(line.as_str(), "");
    }
}
