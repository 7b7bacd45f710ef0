//! The page: one file that asks nobody for anything. A content policy of its own lets only its own script run, so
//! that even a slip in escaping could not make a policy's text act.

use crate::escape::Text;
use crate::folder::{Report, Run};
use crate::{before_after, expert_heatmap, figures, header, inspector, stages};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The report as one HTML document.
pub fn html(report: &Report) -> String {
    let name = if report.name.is_empty() { "run" } else { &report.name };
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; form-action \
         'none'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" \
         content=\"light dark\">\n<meta name=\"generator\" content=\"ruminate report\">\n<title>{} · ruminate</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n",
        base64(&Sha256::digest(SCRIPT)),
        Text(name)
    );
    let lead = report.runs.first();
    let line = match &report.runs[..] {
        [run] => header::line(run),
        runs => format!("{} runs", runs.len()),
    };
    // The title's run speaks for all where there is one in the folder itself.
    let own = lead.filter(|run| run.name.is_empty());
    let _ = write!(
        html,
        "<header class=\"top\"><div><p class=\"eyebrow\">ruminate · report</p><h1>{}</h1><p class=\"line\">{}</p></div>\
         <button id=\"theme\" type=\"button\" hidden>Theme: <b>auto</b></button></header>\n<main>\n",
        Text(name),
        own.map_or(line, header::line)
    );
    html += &own.map(header::alarms).unwrap_or_default();
    html += &own.map(header::tiles).unwrap_or_default();
    html += &results(report, own);
    for (id, run) in report.runs.iter().enumerate() {
        html += &section(run, id, report.runs.len());
    }
    html += "</main>\n<footer><p>Made by <b>ruminate report</b>. One file, no request to anywhere; what models wrote is \
             shown as text.</p></footer>\n";
    let _ = write!(html, "<script>{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

/// The stage table, and how pass@1 got there.
fn results(report: &Report, own: Option<&Run>) -> String {
    let tables = stages::html(&stages::stages(&report.runs));
    let curve = own.map(figures::pass_at_1).unwrap_or_default();
    if tables.is_empty() && curve.is_empty() {
        return String::new();
    }
    format!("<section id=\"results\"><h2>Results</h2>{tables}{curve}</section>\n")
}

/// A run's part. Those of the folders below are folded: they are means to an end, or a pipeline's many.
fn section(run: &Run, id: usize, runs: usize) -> String {
    let own = run.name.is_empty();
    let level = if own { 2 } else { 3 };
    let part = |title: &str, lead: &str, body: String| {
        if body.is_empty() {
            return body;
        }
        format!("<section><h{level}>{title}</h{level}><p class=\"lead\">{lead}</p>{body}</section>\n")
    };
    let mut html = String::new();
    if !own {
        html = format!(
            "<p class=\"line\">{}</p>{}{}",
            header::line(run),
            header::alarms(run),
            header::tiles(run)
        );
        html += &part("pass@1", "", figures::pass_at_1(run));
    }
    if !run.metrics.steps.is_empty() {
        html += &part("Training", "", figures::validation(run) + &figures::html(run));
    }
    html += &part("Where the tokens went", "", expert_heatmap::html(&run.load));
    html += &part("Before and after", "The same problems, never trained on.", before_after::html(run));
    html += &part(
        "Token by token",
        "Completions of training. Colour shows what the run measured of each token; arrow keys walk.",
        inspector::html(run, id),
    );
    html += &part("The run", "", header::config(run));
    if own {
        return html;
    }
    let open = if runs == 1 { " open" } else { "" };
    format!("<details class=\"run\"{open}><summary>{}</summary>{html}</details>\n", Text(&run.name))
}

/// Base64 of RFC 4648, which a content policy wants its hashes in.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0_usize, |word, &byte| word << 8 | usize::from(byte));
        for at in 0..4 {
            let digit = char::from(DIGITS[word >> (18 - 6 * at) & 63]);
            text.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
