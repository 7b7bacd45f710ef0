//! Commands that change how a formula looks and not what it says. The table has grown from what data sets and models
//! write; a command that is not in it may mean something.

/// Commands that are dropped; a braced argument behind them stays as a group.
#[allow(clippy::too_many_lines, reason = "a table")]
pub(crate) fn is_layout(name: &str) -> bool {
    const COMMANDS: &[&str] = &[
        "quad",
        "qquad",
        "displaystyle",
        "textstyle",
        "scriptstyle",
        "scriptscriptstyle",
        "limits",
        "nolimits",
        "big",
        "Big",
        "bigl",
        "bigr",
        "bigm",
        "Bigl",
        "Bigr",
        "Bigm",
        "bigg",
        "Bigg",
        "biggl",
        "biggr",
        "biggm",
        "Biggl",
        "Biggr",
        "Biggm",
        "thinspace",
        "negthinspace",
        "negmedspace",
        "negthickspace",
        "medspace",
        "thickspace",
        "enspace",
        "enskip",
        "hfil",
        "hfill",
        "hss",
        "nobreak",
        "allowbreak",
        "break",
        "newline",
        "linebreak",
        "par",
        "noindent",
        "centering",
        "strut",
        "mathstrut",
        "bf",
        "it",
        "sf",
        "tt",
        "sl",
        "sc",
        "cal",
        "em",
        "boldmath",
        "tiny",
        "scriptsize",
        "footnotesize",
        "small",
        "normalsize",
        "large",
        "Large",
        "LARGE",
        "huge",
        "Huge",
        "middle",
        "relax",
        "protect",
        "null",
        "euro",
        "pounds",
        "ensuremath",
        "underline",
        "uline",
        "smash",
        "mathop",
        "mathord",
        "mathrel",
        "mathbin",
        "mathopen",
        "mathclose",
        "mathinner",
        "mathpunct",
        "bigskip",
        "medskip",
        "smallskip",
        "nonumber",
        "notag",
        "mathsurround",
        "llap",
        "rlap",
        "mathllap",
        "mathrlap",
        "mathclap",
        "normalfont",
        "rmfamily",
        "bfseries",
        "itshape",
        "raggedright",
        "space",
    ];
    COMMANDS.contains(&name)
}

/// How many arguments of a command show nothing: the colour of `\textcolor{red}{42}`.
pub(crate) fn hidden_arguments(name: &str) -> usize {
    match name {
        "hspace" | "vspace" | "mspace" | "phantom" | "hphantom" | "vphantom" | "label" | "tag" | "color"
        | "textcolor" | "colorbox" | "require" | "pagecolor" | "href" | "raisebox" | "class" | "cssId"
        | "style" | "bbox" | "bgcolor" | "selectfont" => 1,
        "fcolorbox" | "rule" | "fontsize" => 2,
        _ => 0,
    }
}

/// Commands that set their argument in another font, or as text.
pub(crate) fn is_font(name: &str) -> bool {
    matches!(
        name,
        "text"
            | "textbf"
            | "textit"
            | "textrm"
            | "textup"
            | "textnormal"
            | "textsf"
            | "texttt"
            | "textsl"
            | "textsc"
            | "textmd"
            | "emph"
            | "mbox"
            | "hbox"
            | "mathrm"
            | "mathbf"
            | "mathit"
            | "mathnormal"
            | "operatorname"
            | "mathsf"
            | "mathtt"
            | "mathcal"
            | "mathscr"
            | "mathfrak"
            | "mathbb"
            | "boldsymbol"
            | "bold"
            | "pmb"
            | "bm"
            | "rm"
            | "unit"
    )
}

/// Bold letters are vectors, not units.
pub(crate) fn is_bold(name: &str) -> bool {
    matches!(
        name,
        "mathbf" | "boldsymbol" | "bold" | "pmb" | "bm" | "mathcal" | "mathscr" | "mathfrak" | "mathbb"
    )
}

/// Environments that only arrange lines: their lines are a list.
pub(crate) fn is_arrangement(kind: &str) -> bool {
    matches!(
        kind.trim_end_matches('*'),
        "aligned"
            | "align"
            | "alignedat"
            | "gathered"
            | "gather"
            | "split"
            | "equation"
            | "multline"
            | "flalign"
    )
}
