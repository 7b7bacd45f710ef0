// The page's only script: theme, values under the pointer, the token inspector. Everything from a run goes through
// textContent; nothing is ever parsed as markup.
"use strict";

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const minus = text => text.replace("-", "−");
const short = value => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return minus(value.toExponential(2));
  return minus(String(Number(value.toPrecision(4))));
};

// Theme: the system's, or a choice that is remembered where the browser lets a file remember.
{
  const button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  let theme = "auto";
  const apply = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.querySelector("b").textContent = theme;
  };
  try { theme = themes.find(known => known === localStorage.getItem("ruminate-theme")) ?? "auto"; } catch {}
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try { localStorage.setItem("ruminate-theme", theme); } catch {}
    apply();
  });
  apply();
}

// Charts: a line at the nearest step, and the values there.
for (const figure of document.querySelectorAll(".chart")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot"), cross = plot.querySelector(".cross"), tip = plot.querySelector(".tip");
  const steps = [...new Set(data.series.flatMap(series => series.x))].sort((a, b) => a - b);
  const first = steps[0], span = Math.max(steps.at(-1) - first, 1);
  let at = steps.length - 1;
  const told = value => data.share ? minus((100 * value).toFixed(1)) + " %" : short(value);
  const show = index => {
    at = Math.min(Math.max(index, 0), steps.length - 1);
    const step = steps[at], left = (step - first) / span;
    const rows = data.series.flatMap((series, number) => {
      const place = series.x.indexOf(step);
      if (place < 0) return [];
      const band = series.band?.[place];
      const row = make("div", { class: "c" + number % 6 }, make("i"), series.name + " ", make("b", {}, told(series.y[place])));
      if (band) row.append(` (${told(band[0])} to ${told(band[1])})`);
      return [row];
    });
    tip.replaceChildren(make("div", {}, "step " + step), ...rows);
    cross.hidden = tip.hidden = false;
    cross.style.left = 100 * left + "%";
    tip.style.left = left > .5 ? "auto" : `calc(${100 * left}% + 10px)`;
    tip.style.right = left > .5 ? `calc(${100 - 100 * left}% + 10px)` : "auto";
  };
  const hide = () => { cross.hidden = tip.hidden = true; };
  plot.addEventListener("pointermove", event => {
    const box = plot.getBoundingClientRect();
    const wanted = first + (event.clientX - box.left) / box.width * span;
    let nearest = 0;
    for (let i = 1; i < steps.length; i++) if (Math.abs(steps[i] - wanted) < Math.abs(steps[nearest] - wanted)) nearest = i;
    show(nearest);
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", event => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (event.key === "Escape") hide();
    if (to === undefined) return;
    event.preventDefault();
    show(to);
  });
}

// A row of choices, one of which holds; the arrow keys move it.
const choice = (label, role, options, pick, chosen = 0) => {
  const group = role === "tab" ? "tablist" : "radiogroup", state = role === "tab" ? "aria-selected" : "aria-checked";
  const element = make("div", { class: "choice", role: group, "aria-label": label }, make("span", { class: "label", "aria-hidden": "true" }, label));
  const buttons = options.map((option, index) => {
    const button = make("button", { type: "button", role }, ...option);
    button.addEventListener("click", () => set(index, true));
    return button;
  });
  const set = (index, tell) => {
    buttons.forEach((button, i) => {
      button.setAttribute(state, i === index);
      button.tabIndex = i === index ? 0 : -1;
    });
    if (tell) pick(index);
  };
  element.addEventListener("keydown", event => {
    const now = buttons.indexOf(document.activeElement);
    const to = { ArrowLeft: now - 1, ArrowUp: now - 1, ArrowRight: now + 1, ArrowDown: now + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (now < 0 || to === undefined) return;
    event.preventDefault();
    const next = (to + buttons.length) % buttons.length;
    set(next, true);
    buttons[next].focus();
  });
  element.append(...buttons);
  set(chosen, false);
  return element;
};

// What a token can be coloured by: whether it is there, the class of a value, and the key of the colours.
const clamp = (value, limit) => Math.max(-limit, Math.min(limit, Math.round(value)));
const signed = ["t-4", "t-3", "t-2", "t-1", "", "t1", "t2", "t3", "t4"];
const rising = ["", "t1", "t2", "t3", "t4"];
const klass = level => level === 0 ? "" : "t" + level;
const measures = (clip, spread) => ({
  advantage: {
    has: item => item.advantage !== null,
    of: item => klass(clamp(item.advantage * 2, 4)),
    key: ["worse than its siblings (−2)", signed, "better (+2)"],
    note: "One value a completion: its reward against the group's mean, in the group's deviations.",
  },
  surprise: {
    has: item => item.logprob.length > 0,
    of: (item, i) => item.logprob[i] === null ? "" : klass(Math.min(4, Math.floor(-item.logprob[i] / .5))),
    key: ["expected (0)", rising, "surprising (2 nats and more)"],
    note: "−log p of the token when it was sampled.",
  },
  ratio: {
    has: item => item.ratio.length > 0,
    of: (item, i) => item.ratio[i] === null ? "" : klass(clamp(4 * Math.log(item.ratio[i]) / spread, 4)),
    key: [`less likely now (÷${short(Math.exp(spread))})`, signed, `more likely (×${short(Math.exp(spread))})`],
    note: "Probability after the step's update over that when sampled.",
  },
  clip: {
    has: item => item.ratio.length > 0 && item.advantage !== null,
    of: (item, i) => {
      const ratio = item.ratio[i];
      if (ratio === null) return "";
      if (item.advantage > 0 && ratio > clip[1]) return "t4";
      return item.advantage < 0 && ratio < clip[0] ? "t-4" : "";
    },
    key: [`below ${short(clip[0])}, held`, ["t-4", "", "t4"], `above ${short(clip[1])}, held`],
    note: "Where the update has taken the ratio past the clip: another pass over this step would not push it on.",
  },
  KL: {
    has: item => item.ratio.length > 0,
    of: (item, i) => item.ratio[i] === null ? "" : klass(clamp(4 * Math.sqrt(2 * k3(item.ratio[i])) / spread, 4)),
    key: ["unmoved", rising, `moved (${short(spread * spread / 2)} nats and more)`],
    note: "How far the step's update moved the distribution here: k3 of before against after, from this one token.",
  },
  entropy: {
    has: item => item.entropy.length > 0,
    of: (item, i) => item.entropy[i] === null ? "" : klass(Math.min(4, Math.floor(item.entropy[i] / .35))),
    key: ["decided (0)", rising, "open (1.4 nats and more)"],
    note: "Of the distribution that the token comes from, after the step's update: where it is high, the policy could have gone on differently.",
  },
});
const k3 = ratio => Math.max(0, ratio - 1 - Math.log(ratio));
// The size that colours of movement end at: all but the largest fiftieth of |log ratio|.
const spreadOf = items => {
  const sizes = items.flatMap(item => item.ratio).filter(ratio => ratio > 0).map(ratio => Math.abs(Math.log(ratio))).sort((a, b) => a - b);
  return Math.max(sizes[Math.floor(.98 * (sizes.length - 1))] ?? 0, .002);
};

for (const root of document.querySelectorAll(".inspector")) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const items = data.steps.flatMap(step => step.items), kinds = measures(data.clip, spreadOf(items));
  const layers = Math.max(0, ...items.map(item => item.experts.length));
  for (let layer = 0; layer < layers; layer++) {
    kinds["experts, layer " + layer] = {
      has: item => item.experts.length > layer,
      of: (item, i) => "e c" + (item.experts[layer][i][0] ?? 0) % 6,
      number: (item, i) => item.experts[layer][i].join(" "),
      key: null,
      note: "The experts that compute the token, the first one's colour; numbers tell them apart.",
    };
  }
  const names = Object.keys(kinds).filter(name => items.some(kinds[name].has));
  // The first step's learning rate is often 0: there is more to see in the middle.
  let step = Math.floor(data.steps.length / 2), which = 0, colour = names.includes("ratio") ? "ratio" : names[0], place = 0;

  const siblings = make("div"), ask = make("div", { class: "ask" }), scale = make("p", { class: "scale" });
  const tokens = make("div", { class: "tokens", role: "listbox", "aria-label": "tokens; arrow keys walk", "aria-orientation": "horizontal", tabindex: "0" });
  const note = make("p", { class: "caption" }), readout = make("dl", { class: "readout", "aria-live": "polite" });
  const item = () => data.steps[step].items[which];

  const fill = () => {
    const now = item();
    const verdict = make("p", { class: "verdict " + now.verdict[0] }, now.verdict[1], make("span", {}, " " + now.why + (now.cut ? " · cut off at the length limit" : "")));
    ask.replaceChildren(make("code", {}, now.prompt), verdict);
    tokens.replaceChildren(...now.tokens.map((token, i) => {
      const span = make("span", { role: "option", id: `${root.id}-${i}` });
      if (token === "") { span.className = "special"; span.textContent = "␃"; }
      else span.textContent = token.replaceAll("\n", "⏎\n");
      span.addEventListener("click", () => walk(i));
      return span;
    }));
    if (now.left > 0) tokens.append(` … (${now.left} more tokens)`);
    paint();
    walk(Math.min(place, now.tokens.length - 1));
  };
  const paint = () => {
    const now = item(), kind = kinds[colour], has = kind !== undefined && kind.has(now);
    [...tokens.children].forEach((span, i) => {
      span.className = (now.tokens[i] === "" ? "special " : "") + (has ? kind.of(now, i) : "");
      if (has && kind.number) span.dataset.n = kind.number(now, i); else delete span.dataset.n;
    });
    tokens.classList.toggle("numbered", Boolean(has && kind.number));
    scale.replaceChildren();
    if (has && kind.key) scale.append(make("span", {}, kind.key[0]), ...kind.key[1].map(name => make("i", { class: name })), make("span", {}, kind.key[2]));
    note.textContent = kind === undefined ? "The run has recorded no measures of tokens." : has ? kind.note : "Not recorded for this completion.";
  };
  const walk = to => {
    const now = item();
    place = Math.max(0, Math.min(to, now.tokens.length - 1));
    [...tokens.children].forEach((span, i) => span.setAttribute("aria-selected", i === place));
    tokens.setAttribute("aria-activedescendant", `${root.id}-${place}`);
    const facts = [["token", JSON.stringify(now.tokens[place] ?? "")], ["place", `${place + 1} of ${now.tokens.length + now.left}`]];
    const number = (name, value) => { if (value !== undefined && value !== null) facts.push([name, short(value)]); };
    number("advantage", now.advantage);
    if (now.logprob.length > 0 && now.logprob[place] !== null) number("p when sampled", Math.exp(now.logprob[place]));
    number("ratio", now.ratio[place]);
    if (now.ratio.length > 0 && now.ratio[place] > 0) number("KL, nats", k3(now.ratio[place]));
    number("entropy, nats", now.entropy[place]);
    now.experts.forEach((layer, number) => facts.push(["experts, layer " + number, layer[place].join(", ")]));
    readout.replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  };
  tokens.addEventListener("keydown", event => {
    const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: Infinity }[event.key];
    const other = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (to !== undefined) walk(to);
    else if (other !== undefined) siblings.querySelectorAll("button")[(which + other + data.steps[step].items.length) % data.steps[step].items.length]?.click();
    else return;
    event.preventDefault();
  });
  const list = () => {
    const options = data.steps[step].items.map((one, i) => {
      const sign = one.verdict[1].split(" ")[0];
      const name = make("span", { class: one.verdict[0] }, sign);
      return [name, ` ${one.advantage === null ? i + 1 : (one.advantage > 0 ? "+" : "") + minus(one.advantage.toFixed(2))}`];
    });
    siblings.replaceChildren(choice("completion", "tab", options, index => { which = index; fill(); }));
  };
  root.append(
    choice("step", "tab", data.steps.map(one => [String(one.step)]), index => { step = index; which = 0; list(); fill(); }, step),
    siblings,
  );
  if (names.length > 0) {
    const colours = choice("colour by", "radio", names.map(name => [name]), index => { colour = names[index]; paint(); }, names.indexOf(colour));
    root.append(colours);
  }
  root.append(ask, scale, tokens, note, readout);
  list();
  fill();
}
