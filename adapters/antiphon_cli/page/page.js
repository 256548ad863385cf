"use strict";
// Everything shown comes from a recording, so it is only ever set as text: no markup is made of it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const LANES = [
    { name: "user", title: "User", height: 44 },
    { name: "response", title: "Assistant", height: 50 },
    { name: "playback", title: "Heard", height: 40 },
    { name: "tool", title: "Tools", height: 34 },
    { name: "note", title: "Notes", height: 30 },
  ];
  const KINDS = {
    speech: "spoke", committed: "spoke (sent by hand)", typed: "typed", open: "goes on", lost: "lost with its socket", heard: "played",
    cut: "cut", call: "function", mcp: "MCP server", error: "error", broken: "broken rule", session: "session", remark: "note",
  };
  const FACTS = {
    latency_ms: "From the user's end", voice_latency_ms: "… to the first sound", first_token_ms: "First token",
    first_audio_ms: "First audio", received_ms: "Audio received", heard_ms: "Audio heard", input_tokens: "Input tokens",
    output_tokens: "Output tokens", interrupted: "Interrupted", cut: "Cut short", count: "How often", failed: "Failed",
  };
  const AXIS = 24, GAP = 8, NARROW = 600, GUTTER = 84, BAND = 15, LEAST = 3, still = matchMedia("(prefers-reduced-motion: reduce)");

  let session, spans, order, lanes, view, chosen = null, hovered = null, matches = null, shown = [], listed = 0, colors;
  let frame = 0, moving = 0;
  const canvas = $("lanes"), pen = canvas.getContext("2d"), strip = $("overview"), stripPen = strip.getContext("2d");

  // -- words and numbers ----------------------------------------------------------------------------------------------

  const element = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const number = (value) => Number(value).toLocaleString("en");
  const short = (path) => path.split(/[\\/]/).pop() || path;
  const lasts = (ms) => ms < 1000 ? `${Math.round(ms)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(2)} s` : clock(ms, 1000, true);
  const length = (size) => session.timed ? lasts(size) : `${number(Math.round(size))} lines`;
  function clock(ms, step = 1, duration = false) {
    if (!session.timed && !duration) return `line ${number(Math.round(ms) + 1)}`;
    const tenths = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
    const total = (Math.round(ms / 1000 * 10 ** tenths) / 10 ** tenths);
    const hours = Math.floor(total / 3600), minutes = Math.floor(total / 60) % 60;
    const seconds = (total % 60).toFixed(tenths).padStart(tenths ? tenths + 3 : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
  }
  const isBad = (span) => span.kind === "error" || span.kind === "broken" || span.kind === "failed" || span.kind === "cut" || Boolean(span.facts.failed);
  const NAMES = { user: "User", response: "Assistant", playback: "Heard", tool: "Tool", note: "Note" };
  const who = (span) => span.kind === "error" ? "Error" : span.kind === "broken" ? "Rule" : span.kind === "session" ? "Session" : NAMES[span.lane];
  const titled = (span) => who(span).toLowerCase() === state(span) ? who(span) : `${who(span)} · ${state(span)}`;
  const state = (span) => KINDS[span.kind] || span.kind;
  const labelled = (span) => span.lane === "tool" || span.lane === "note";
  const words = (span) => labelled(span) ? [span.label, span.text].filter(Boolean).join(span.lane === "tool" ? " " : ": ") : span.text || missing(span);
  const missing = (span) => span.lane === "user" ? "(not transcribed)" : span.lane === "response" ? (span.facts.calls ? `(calls ${span.facts.calls})` : span.kind === "failed" ? "(failed)" : "(no words)") : "";

  // -- session --------------------------------------------------------------------------------------------------------

  function open(index) {
    session = data.sessions[index];
    spans = session.spans.map((span, at) => ({ label: "", text: "", id: "", facts: {}, ...span, at, end: span.end === null ? session.length : span.end }));
    lanes = [];
    for (const lane of LANES) {
      const own = spans.filter((span) => span.lane === lane.name);
      if (!own.length && lane.name !== "user" && lane.name !== "response") continue;
      const rows = stack(own);
      lanes.push({ ...lane, spans: own, rows, size: lane.height + (rows - 1) * 18 });
    }
    order = spans.filter((span) => span.lane !== "playback" || span.kind === "cut").sort((a, b) => a.start - b.start || a.at - b.at);
    chosen = hovered = matches = null;
    view = whole();
    $("query").value = "";
    $("name").textContent = short(session.name);
    $("name").title = session.name;
    document.title = short(session.name);
    const about = session.whole ? [] : [session.timed ? length(session.length) : "no times: the axis counts lines"];
    about.push(`${number(session.events)} events`);
    if (session.transport) about.push(session.transport);
    $("about").textContent = about.join(" · ");
    for (const id of ["stage", "below"]) $(id).hidden = session.whole;
    $("every").hidden = !session.whole;
    if (session.whole) everySession();
    figures();
    legend();
    remarks();
    filter();
    detail();
    resize();
  }

  /** Puts spans that overlap into rows below each other, three at most. */
  function stack(own) {
    const ends = [];
    for (const span of own) {
      span.row = 0;
      if (span.kind === "cut") continue;  // below what was played of it
      let row = ends.findIndex((end) => end <= span.start);
      if (row < 0) row = ends.length < 3 ? ends.length : 2;
      span.row = row;
      ends[row] = Math.max(span.end, ends[row] || 0);
    }
    return Math.max(1, ends.length);
  }

  /** All sessions of the page, each with its figures. */
  function everySession() {
    const wanted = ["User turns", "Turn to first sound", "Turn to first word", "Interruptions", "Tool calls", "Tokens", "Cost", "Errors"];
    const each = data.sessions.map((one, index) => ({ one, index })).filter(({ one }) => !one.whole);
    const labels = wanted.filter((label) => each.some(({ one }) => one.figures.some((figure) => figure.label === label)));
    $("heads").replaceChildren(...["Session", "Time", ...labels].map((text) => { const head = element("th", "", text); head.scope = "col"; return head; }));
    $("rows").replaceChildren(...each.map(({ one, index }) => {
      const line = element("tr"), name = element("td"), button = element("button", "", short(one.name));
      button.type = "button";
      button.title = one.name;
      button.addEventListener("click", () => { select.value = String(index); open(index); scrollTo(0, 0); });
      name.append(button);
      line.append(name, element("td", "", one.timed ? lasts(one.length) : ""));
      for (const label of labels) {
        const figure = one.figures.find((known) => known.label === label);
        line.append(element("td", figure && figure.bad ? "bad" : "", figure ? figure.value : ""));
      }
      return line;
    }));
  }

  function figures() {
    $("figures").replaceChildren(...session.figures.map((figure) => {
      const box = element("div", figure.bad ? "bad" : "");
      const value = element("dd");
      value.append(element("span", "value", figure.value));
      if (figure.beside) value.append(element("span", "beside", figure.beside));
      box.append(element("dt", "", figure.label), value);
      return box;
    }));
  }

  function legend() {
    const rows = [["user", "user"], ["wait", "preparing"], ["response", "answering"], ["playback", "heard"], ["hatch", "cut, not heard"], ["tool", "tool"], ["cut", "error"]];
    const has = { hatch: spans.some((span) => span.kind === "cut"), playback: spans.some((span) => span.lane === "playback"), tool: spans.some((span) => span.lane === "tool"), cut: spans.some((span) => span.lane === "note" && isBad(span)) };
    $("legend").replaceChildren(...rows.filter(([name]) => has[name] !== false).map(([name, text]) => {
      const item = element("li", "", "");
      const swatch = element("i");
      swatch.style.background = name === "hatch" ? "repeating-linear-gradient(135deg, var(--cut) 0 2px, transparent 2px 5px)" : `var(--${name})`;
      if (name === "hatch") swatch.style.border = "1px solid var(--cut)";
      item.append(swatch, text);
      return item;
    }));
  }

  function remarks() {
    const omitted = Object.entries(session.omitted).map(([lane, count]) => `${number(count)} more of the lane "${lane}" are not drawn: there were too many`);
    const all = [...session.notes, ...omitted];
    $("notes").hidden = !all.length;
    $("remarks").replaceChildren(...all.map((text) => element("li", "", text)));
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  const whole = () => ({ from: -session.length * 0.01, size: Math.max(session.length * 1.02, 1) });
  const shortest = () => session.timed ? 20 : 3;
  const x = (at, width) => gutter() + (at - view.from) / view.size * (width - gutter());
  /** The part of the drawn time, 0 to 1, at which a pointer is. */
  const part = (clientX) => { const area = canvas.getBoundingClientRect(); return (clientX - area.left - gutter()) / (area.width - gutter()); };

  function palette() {
    const style = getComputedStyle(document.documentElement);
    colors = {};
    for (const name of ["paper", "card", "ink", "soft", "line", "grid", "user", "response", "wait", "playback", "cut", "tool", "note", "on", "focus"]) colors[name] = style.getPropertyValue(`--${name}`).trim();
    const tile = document.createElement("canvas");
    tile.width = tile.height = 7;
    const tilePen = tile.getContext("2d");
    tilePen.strokeStyle = colors.cut;
    tilePen.lineWidth = 1.6;
    tilePen.beginPath();
    for (const shift of [-7, 0, 7]) { tilePen.moveTo(shift - 1, 8); tilePen.lineTo(shift + 8, -1); }
    tilePen.stroke();
    colors.hatch = pen.createPattern(tile, "repeat");
  }

  /** Names stand beside the lanes where there is room, else above the spans of each. */
  const narrow = () => canvas.clientWidth < NARROW;
  const gutter = () => narrow() ? 0 : GUTTER;

  function resize() {
    let top = AXIS;
    for (const lane of lanes) {
      lane.top = top;
      lane.band = narrow() ? BAND : 0;
      lane.height = lane.size + lane.band;
      top += lane.height + GAP;
    }
    canvas.style.height = `${top}px`;
    strip.style.marginLeft = `${gutter()}px`;
    strip.style.width = `calc(100% - ${gutter()}px)`;
    for (const each of [canvas, strip]) {
      const ratio = devicePixelRatio || 1;
      each.width = Math.max(1, Math.round(each.clientWidth * ratio));
      each.height = Math.max(1, Math.round(each.clientHeight * ratio));
    }
    draw();
  }

  function draw() {
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; paint(); overview(); });
  }

  function paint() {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    axis(width, height);
    for (const lane of lanes) {
      pen.fillStyle = colors.grid;
      box(gutter(), lane.top, width - gutter(), lane.height, 6);
      pen.globalAlpha = 0.55;
      pen.fill();
      pen.globalAlpha = 1;
    }
    names();
    pen.save();
    pen.beginPath();
    pen.rect(gutter(), 0, width - gutter(), height);
    pen.clip();
    for (const lane of lanes) {
      const last = {};
      const seen = lane.spans.reduce((count, span) => count + (span.end >= view.from && span.start <= view.from + view.size), 0);
      const least = seen > width / 7 ? 1 : LEAST;  // where there are many, how dense they are says more than each
      // What was cut lies below what was played, which may go on with the next answer in its place.
      for (const span of [...lane.spans.filter((each) => each.kind === "cut"), ...lane.spans.filter((each) => each.kind !== "cut")]) {
        if (span.end < view.from || span.start > view.from + view.size) continue;
        const left = x(span.start, width), right = Math.max(x(span.end, width), left + (span.kind === "typed" && least > 1 ? 7 : least));
        const key = `${span.kind}${span.row}`;
        if (span !== chosen && right - left <= 7 && left - (last[key] ?? -9) < 1) continue;  // too many to see
        last[key] = left;
        block(lane, span, left, right, width);
      }
    }
    cuts(width, height);
    pen.restore();
  }

  function names() {
    pen.font = "600 12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillStyle = colors.soft;
    for (const lane of lanes) pen.fillText(lane.title, narrow() ? 6 : 2, narrow() ? lane.top + 9 : lane.top + lane.height / 2);
  }

  function axis(width, height) {
    const nice = session.timed ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 15000, 30000, 60000, 120000, 300000, 600000, 1800000, 3600000] : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];
    const wanted = view.size / Math.max(2, (width - gutter()) / 95);
    let step = nice.find((each) => each >= wanted) || nice[nice.length - 1];
    while (step < wanted) step *= 2;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (let at = Math.max(0, Math.ceil(view.from / step) * step); at <= view.from + view.size; at += step) {
      const where = Math.round(x(at, width)) + 0.5;
      if (where < gutter()) continue;
      pen.strokeStyle = colors.line;
      pen.beginPath();
      pen.moveTo(where, AXIS - 6);
      pen.lineTo(where, height);
      pen.stroke();
      pen.fillStyle = colors.soft;
      const text = clock(at, step);
      if (where + pen.measureText(text).width + 4 < width) pen.fillText(text, where + 4, 9);
    }
  }

  function box(left, top, wide, high, radius) {
    pen.beginPath();
    pen.roundRect(left, top, wide, high, Math.min(radius, wide / 2, high / 2));
  }

  function place(lane, span) {
    const pad = 3, high = (lane.size - pad * 2 - (lane.rows - 1) * 2) / lane.rows;
    return [lane.top + lane.band + pad + span.row * (high + 2), high];
  }

  function block(lane, span, left, right, width) {
    const [top, high] = place(lane, span), wide = right - left;
    const dim = matches && !matches.has(span.at);
    pen.globalAlpha = dim ? 0.22 : 1;
    if (lane.name === "note") {
      const middle = top + high / 2, size = 5.5;
      pen.beginPath();
      if (isBad(span)) { pen.moveTo(left, middle - size); pen.lineTo(left + size, middle + size * 0.8); pen.lineTo(left - size, middle + size * 0.8); pen.closePath(); } else pen.arc(left, middle, 4, 0, 7);
      pen.fillStyle = isBad(span) ? colors.cut : colors.note;
      pen.fill();
    } else if (span.kind === "cut") {
      box(left, top, wide, high, 5);
      pen.fillStyle = colors.hatch;
      pen.fill();
      pen.strokeStyle = colors.cut;
      pen.lineWidth = 1;
      pen.stroke();
    } else {
      const first = lane.name === "response" ? Math.min(right, Math.max(left, x(span.facts.first ?? span.end, width))) : left;
      box(left, top, wide, high, 6);
      pen.save();
      pen.clip();
      if (first > left) { pen.fillStyle = colors.wait; pen.fillRect(left, top, first - left, high); }
      pen.fillStyle = span.facts.failed || span.kind === "failed" ? colors.cut : colors[lane.name];
      pen.fillRect(first, top, right - first, high);
      if (span.kind === "cancelled" || span.facts.cut) { pen.fillStyle = colors.cut; pen.fillRect(right - 3, top, 3, high); }
      inside(span, Math.max(left, first, gutter()), Math.min(right, width), top, high);
      pen.restore();
      if (first > left) {  // what is pale needs an edge to be seen by everybody
        box(left + 0.5, top + 0.5, wide - 1, high - 1, 6);
        pen.strokeStyle = colors[lane.name];
        pen.lineWidth = 1;
        pen.stroke();
      }
    }
    if (span === chosen || span === hovered) {
      pen.strokeStyle = span === chosen ? colors.focus : colors.ink;
      pen.lineWidth = span === chosen ? 3 : 1.5;
      if (lane.name === "note") { pen.beginPath(); pen.arc(left, top + high / 2, 9, 0, 7); } else box(left - 1.5, top - 1.5, wide + 3, high + 3, 7);
      pen.stroke();
    }
    pen.globalAlpha = 1;
    if (lane.name === "response" && !dim) latency(span, width, lane.top + lane.band);
  }

  function inside(span, left, right, top, high) {
    const text = span.lane === "playback" ? (span.facts.heard_ms !== undefined ? lasts(span.facts.heard_ms) : "") : span.lane === "tool" ? span.label : span.text;
    if (right - left < 26 || !text) return;
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillStyle = colors.on;
    pen.fillText(fitted(text.slice(0, 300).replace(/\s+/g, " "), right - left - 13), left + 7, top + high / 2 + 0.5);
  }

  function fitted(text, room) {
    if (pen.measureText(text).width <= room) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle; else high = middle - 1;
    }
    return low ? `${text.slice(0, low)}…` : "";
  }

  /** What the user waited: from the end of their turn to the first sound, or word. */
  function latency(span, width, top) {
    const waited = span.facts.voice_latency_ms ?? span.facts.latency_ms;
    const until = span.facts.voice_latency_ms !== undefined ? span.facts.first_audio : span.facts.first;
    if (waited === undefined || until === undefined || !session.timed) return;
    const right = x(until, width), left = x(until - waited, width);
    if (right - left < 12) return;
    pen.strokeStyle = colors.ink;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(left + 0.5, top - 1);
    pen.lineTo(left + 0.5, top - GAP + 1.5);
    pen.lineTo(right - 0.5, top - GAP + 1.5);
    pen.lineTo(right - 0.5, top - 1);
    pen.stroke();
    const text = lasts(waited);
    pen.font = "600 11px system-ui, sans-serif";
    const wide = pen.measureText(text).width;
    if (right - left > wide + 6) {
      pen.fillStyle = colors.card;
      box((left + right - wide) / 2 - 4, top - 10, wide + 8, 15, 4);
      pen.fill();
      pen.fillStyle = colors.ink;
      pen.textBaseline = "middle";
      pen.fillText(text, (left + right - wide) / 2, top - 2);
    }
  }

  /** Where the listener fell out: a line through all lanes. */
  function cuts(width, height) {
    pen.strokeStyle = colors.cut;
    pen.lineWidth = 1.2;
    pen.setLineDash([4, 4]);
    let last = -9;
    const seen = spans.filter((span) => span.kind === "cut" && span.start >= view.from && span.start <= view.from + view.size);
    if (seen.length > width / 16) return;
    for (const span of seen) {
      const where = Math.round(x(span.start, width)) + 0.5;
      if (where < 0 || where > width || where - last < 2) continue;
      last = where;
      pen.beginPath();
      pen.moveTo(where, AXIS - 2);
      pen.lineTo(where, height);
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  function overview() {
    const ratio = devicePixelRatio || 1, width = strip.clientWidth, height = strip.clientHeight;
    stripPen.setTransform(ratio, 0, 0, ratio, 0, 0);
    stripPen.clearRect(0, 0, width, height);
    const all = whole(), at = (time) => (time - all.from) / all.size * width, row = (height - 6) / lanes.length;
    lanes.forEach((lane, index) => {
      let last = -9;
      for (const span of lane.spans) {
        const left = at(span.start), wide = Math.max(1.5, at(span.end) - left);
        if (wide < 2 && left - last < 1) continue;
        last = left;
        stripPen.globalAlpha = matches && !matches.has(span.at) ? 0.2 : 1;
        stripPen.fillStyle = isBad(span) ? colors.cut : colors[lane.name];
        stripPen.fillRect(left, 3 + index * row, wide, Math.max(1.5, row - 1.5));
      }
    });
    stripPen.globalAlpha = 1;
    const left = Math.max(0, at(view.from)), right = Math.min(width, at(view.from + view.size));
    stripPen.fillStyle = colors.paper;
    stripPen.globalAlpha = 0.65;
    stripPen.fillRect(0, 0, left, height);
    stripPen.fillRect(right, 0, width - right, height);
    stripPen.globalAlpha = 1;
    stripPen.strokeStyle = colors.ink;
    stripPen.lineWidth = 1.5;
    stripPen.strokeRect(left + 0.75, 0.75, Math.max(4, right - left - 1.5), height - 1.5);
  }

  // -- moving ---------------------------------------------------------------------------------------------------------

  function bounded(wish) {
    const all = whole();
    const size = Math.min(all.size, Math.max(shortest(), wish.size));
    return { size, from: Math.min(all.from + all.size - size, Math.max(all.from, wish.from)) };
  }
  function jump(wish) { cancelAnimationFrame(moving); view = bounded(wish); draw(); }
  function glide(wish) {
    cancelAnimationFrame(moving);
    const goal = bounded(wish), from = { ...view }, began = performance.now();
    if (still.matches) return jump(goal);
    const step = (now) => {
      const gone = Math.min(1, Math.max(0, (now - began) / 220)), eased = 1 - (1 - gone) ** 3;
      view = { from: from.from + (goal.from - from.from) * eased, size: from.size + (goal.size - from.size) * eased };
      draw();
      if (gone < 1) moving = requestAnimationFrame(step);
    };
    moving = requestAnimationFrame(step);
  }
  function zoom(factor, around = 0.5, smoothly = true) {
    const size = Math.min(whole().size, Math.max(shortest(), view.size * factor));
    (smoothly ? glide : jump)({ size, from: view.from + (view.size - size) * around });
  }
  const pan = (share) => glide({ size: view.size, from: view.from + view.size * share });
  function reveal(span) {
    const middle = span.start + Math.min(span.end - span.start, view.size) / 2;
    if (span.start < view.from + view.size * 0.06 || middle > view.from + view.size * 0.94) glide({ size: view.size, from: middle - view.size / 2 });
    else draw();
  }
  const near = (span) => { const size = Math.max((span.end - span.start) * 1.5, session.timed ? 400 : 12); glide({ size, from: (span.start + span.end - size) / 2 }); };

  function hit(event) {
    const area = canvas.getBoundingClientRect(), px = event.clientX - area.left, py = event.clientY - area.top;
    const lane = lanes.find((each) => py >= each.top - 2 && py <= each.top + each.height + 2);
    if (!lane) return null;
    let best = null, nearest = event.pointerType === "touch" ? 16 : 7;
    for (const span of lane.spans) {
      const [top, high] = place(lane, span);
      const aside = lane.rows > 1 && (py < top - 2 || py > top + high + 2) ? 5 : 0;
      const left = x(span.start, area.width), right = Math.max(left + LEAST, x(span.end, area.width));
      const off = aside + (px < left ? left - px : px > right ? px - right : 0);
      if (off < nearest || (off === nearest && best && span.end - span.start < best.end - best.start)) { best = span; nearest = off; }
    }
    return best;
  }

  const fingers = new Map();
  let drag = null, pinch = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    fingers.set(event.pointerId, event.clientX);
    if (fingers.size === 2) { const [one, two] = [...fingers.values()]; pinch = { apart: Math.abs(one - two) || 1, view: { ...view }, middle: (one + two) / 2 }; drag = null; } else drag = { x: event.clientX, from: view.from, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event.clientX);
    const area = canvas.getBoundingClientRect();
    if (pinch && fingers.size === 2) {
      const [one, two] = [...fingers.values()], size = pinch.view.size * pinch.apart / (Math.abs(one - two) || 1);
      const held = pinch.view.from + part(pinch.middle) * pinch.view.size;
      jump({ size, from: held - part((one + two) / 2) * bounded({ size, from: 0 }).size });
    } else if (drag && fingers.has(event.pointerId)) {
      if (!drag.moved && Math.abs(event.clientX - drag.x) > 4) { drag.moved = true; canvas.setPointerCapture(event.pointerId); canvas.classList.add("dragging"); tip(null); }
      if (drag.moved) jump({ size: view.size, from: drag.from - (event.clientX - drag.x) / (area.width - gutter()) * view.size });
    } else if (event.pointerType !== "touch") {
      const span = hit(event);
      canvas.style.cursor = span ? "pointer" : "";
      if (span !== hovered) { hovered = span; draw(); }
      tip(span, event);
    }
  });
  const lift = (event) => {
    fingers.delete(event.pointerId);
    if (fingers.size < 2) pinch = null;
    if (drag && !drag.moved && event.type === "pointerup") choose(hit(event), { list: true });
    if (!fingers.size) drag = null;
    canvas.classList.remove("dragging");
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => { hovered = null; tip(null); draw(); });
  canvas.addEventListener("dblclick", (event) => { const span = hit(event); if (span) near(span); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) jump({ size: view.size, from: view.from + (event.deltaX || event.deltaY) * unit / canvas.clientWidth * view.size });
    else zoom(Math.exp(Math.max(-0.6, Math.min(0.6, event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0022)))), Math.min(1, Math.max(0, part(event.clientX))), false);
    tip(null);
  }, { passive: false });

  const seek = (event) => { const area = strip.getBoundingClientRect(), all = whole(); jump({ size: view.size, from: all.from + (event.clientX - area.left) / area.width * all.size - view.size / 2 }); };
  strip.addEventListener("pointerdown", (event) => { strip.setPointerCapture(event.pointerId); seek(event); });
  strip.addEventListener("pointermove", (event) => { if (strip.hasPointerCapture(event.pointerId)) seek(event); });

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key], updown = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (way && event.shiftKey) pan(way * 0.25);
    else if (way) beside(way);
    else if (updown) across(updown);
    else if (event.key === "+" || event.key === "=") zoom(0.6);
    else if (event.key === "-") zoom(1 / 0.6);
    else if (event.key === "0") glide(whole());
    else if (event.key === "Home") choose(order[0] || null, { reveal: true });
    else if (event.key === "End") choose(order[order.length - 1] || null, { reveal: true });
    else if (event.key === "Enter" && chosen) near(chosen);
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  });
  /** The next in the same lane; without a choice, the first that is in view. */
  function beside(way) {
    if (!chosen) return choose(order.find((span) => span.end >= view.from) || null, { reveal: true, list: true });
    const own = lanes.find((lane) => lane.name === chosen.lane).spans;
    const next = own[own.indexOf(chosen) + way];
    if (next) choose(next, { reveal: true, list: true });
  }
  function across(way) {
    if (!chosen) return beside(1);
    const middle = (chosen.start + chosen.end) / 2;
    for (let at = lanes.findIndex((lane) => lane.name === chosen.lane) + way; lanes[at]; at += way) {
      const [best] = [...lanes[at].spans].sort((a, b) => Math.abs((a.start + a.end) / 2 - middle) - Math.abs((b.start + b.end) / 2 - middle));
      if (best) return choose(best, { reveal: true, list: true });
    }
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== $("query")) { event.preventDefault(); $("query").focus(); }
  });

  function tip(span, event) {
    const box = $("tip");
    box.hidden = !span;
    if (!span) return;
    const text = span.heard_text ?? words(span);
    box.replaceChildren(element("b", "", span.label && span.lane === "response" ? `${titled(span)}, ${span.label}` : titled(span)), `${clock(span.start)}${span.end > span.start ? ` · ${length(span.end - span.start)}` : ""}`);
    if (text) box.append(element("div", "", text.length > 220 ? `${text.slice(0, 220)}…` : text));
    const area = $("drawing").getBoundingClientRect(), left = event.clientX - area.left, top = event.clientY - area.top;
    box.style.left = `${Math.max(0, Math.min(left + 14, area.width - box.offsetWidth - 4))}px`;
    box.style.top = `${top + 18 + box.offsetHeight > area.height + 40 ? Math.max(0, top - box.offsetHeight - 10) : top + 18}px`;
  }

  // -- the chosen one -------------------------------------------------------------------------------------------------

  function choose(span, { reveal: show = false, list = false } = {}) {
    chosen = span;
    detail();
    for (const button of $("list").querySelectorAll('[aria-current="true"]')) button.removeAttribute("aria-current");
    if (span) mark(span, list);
    if (span && show) reveal(span); else draw();
  }

  /** Marks the row of the list, and with `list` brings it into view. */
  function mark(span, list) {
    const own = span.lane === "playback" ? spans.find((each) => each.lane === "response" && each.id === (span.facts.of || span.id)) || span : span;
    const at = shown.indexOf(own);
    if (at < 0) return;
    fill(at + 1);
    const button = $("list").children[at].firstChild;
    button.setAttribute("aria-current", "true");
    const box = $("list");
    if (list && box.scrollHeight > box.clientHeight) box.scrollTop = button.parentNode.offsetTop - box.clientHeight / 3;
  }

  function detail() {
    const box = $("chosen");
    $("close").hidden = !chosen;
    $("detail").classList.toggle("open", Boolean(chosen));
    document.body.classList.toggle("chosen", Boolean(chosen));
    if (!chosen) return box.replaceChildren(element("p", "hint", "Choose something on the timeline or in the list."));
    const span = chosen, rows = session.timed ? [["When", clock(span.start)]] : [];
    if (span.end > span.start) rows.push(["For", length(span.end - span.start)]);
    if (span.lane === "response" && span.label) rows.push(["Because", span.label]);
    for (const [name, value] of Object.entries(span.facts)) {
      if (!FACTS[name]) continue;
      rows.push([FACTS[name], value === true ? "yes" : name.endsWith("_ms") ? `${number(value)} ms` : number(value)]);
    }
    if (span.lane === "playback" && span.kind === "heard") rows.push(["Known from", span.facts.told ? "the player" : span.facts.of === undefined ? "the server" : "the audio: an estimate"]);
    if (span.id) rows.push([span.lane === "response" ? "Response" : span.lane === "tool" ? "Call" : "Item", span.id]);
    rows.push(["Line", number(span.line)]);
    const list = element("dl");
    for (const [name, value] of rows) list.append(element("dt", "", name), element("dd", "", String(value)));
    const parts = [element("p", `title ${isBad(span) ? "bad" : span.lane}`, titled(span))];
    if (words(span)) parts.push(said(span, element("p", span.lane === "tool" ? "text mono" : "text")));
    box.replaceChildren(...parts, list);
  }
  $("close").addEventListener("click", () => choose(null));

  // -- what was said --------------------------------------------------------------------------------------------------

  /** Puts the words into `into`: what was not heard struck through, what was searched for marked. */
  function said(span, into) {
    const text = words(span), query = $("query").value.trim().toLowerCase();
    const heard = span.heard_text === null || span.heard_text === undefined ? null : text.startsWith(span.heard_text) ? span.heard_text.length : null;
    const put = (piece, target) => {
      let from = 0;
      const lower = piece.toLowerCase();
      for (let at = query ? lower.indexOf(query) : -1; at >= 0; at = lower.indexOf(query, from)) {
        target.append(piece.slice(from, at), element("mark", "", piece.slice(at, at + query.length)));
        from = at + query.length;
      }
      target.append(piece.slice(from));
    };
    if (heard === null) put(text, into);
    else {
      put(text.slice(0, heard), into);
      into.append(element("span", "cutmark", " ┊ cut ┊ "));
      const lost = element("span", "lost");
      lost.title = "not heard";
      put(text.slice(heard), lost);
      into.append(lost);
    }
    return into;
  }

  const FILTERS = [["user", "User"], ["response", "Assistant"], ["tool", "Tools"], ["note", "Notes"]];
  const hidden = new Set();
  for (const [lane, title] of FILTERS) {
    const button = element("button", "", title);
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      if (!hidden.delete(lane)) hidden.add(lane);
      button.setAttribute("aria-pressed", String(!hidden.has(lane)));
      filter();
      draw();
    });
    $("filters").append(button);
  }

  const haystack = (span) => `${span.text} ${span.label} ${span.kind}`.toLowerCase();
  function filter() {
    const query = $("query").value.trim().toLowerCase();
    const listable = order.filter((span) => span.lane !== "playback" && !hidden.has(span.lane));
    shown = query ? listable.filter((span) => haystack(span).includes(query)) : listable;
    matches = query ? new Set(shown.map((span) => span.at)) : null;
    $("found").textContent = query ? `${number(shown.length)} found` : "";
    $("previous").disabled = $("next").disabled = !query || !shown.length;
    listed = 0;
    $("list").replaceChildren();
    fill(100);
    if (chosen) mark(chosen, false);
  }

  /** Adds rows until there are so many: a long session is not laid out before somebody scrolls to it. */
  function fill(wanted) {
    const until = Math.min(shown.length, Math.max(wanted, listed));
    for (; listed < until; listed++) $("list").append(row(shown[listed]));
    $("more").hidden = listed >= shown.length;
    $("more").textContent = listed < shown.length ? `${number(shown.length - listed)} more below` : "";
  }

  function row(span) {
    const item = element("li"), button = element("button");
    button.type = "button";
    const what = element("span", span.lane === "tool" ? "what mono" : "what");
    if (span.text || labelled(span)) said(span, what); else what.append(element("span", "none", words(span)));
    if (span.facts.count > 1) what.append(` (${number(span.facts.count)} ×)`);
    if (span.lane === "response" && !["completed", "open", "cancelled"].includes(span.kind)) what.prepend(element("span", "cutmark", `${span.kind} `));
    button.append(element("span", "when", clock(span.start, 100)), element("span", `who ${isBad(span) ? "bad" : span.lane}`, who(span)), what);
    button.addEventListener("click", () => choose(span, { reveal: true }));
    item.append(button);
    return item;
  }

  const listBox = $("list");
  const further = () => { if (listed < shown.length) fill(listed + 100); };
  listBox.addEventListener("scroll", () => { if (listBox.scrollTop + listBox.clientHeight > listBox.scrollHeight - 400) further(); }, { passive: true });
  if ("IntersectionObserver" in window) new IntersectionObserver((seen) => { if (seen[0].isIntersecting) further(); }, { rootMargin: "300px" }).observe($("more"));

  $("query").addEventListener("input", () => { filter(); draw(); });
  const turn = (way) => {
    if (!shown.length) return;
    const at = shown.indexOf(chosen);
    choose(shown[(at < 0 ? (way > 0 ? 0 : shown.length - 1) : at + way + shown.length) % shown.length], { reveal: true, list: true });
  };
  $("query").addEventListener("keydown", (event) => {
    if (event.key === "Enter") turn(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") { $("query").value = ""; filter(); draw(); }
  });
  $("next").addEventListener("click", () => turn(1));
  $("previous").addEventListener("click", () => turn(-1));

  // -- the rest -------------------------------------------------------------------------------------------------------

  $("in").addEventListener("click", () => zoom(0.5));
  $("out").addEventListener("click", () => zoom(2));
  $("fit").addEventListener("click", () => glide(whole()));

  const dark = matchMedia("(prefers-color-scheme: dark)");
  let theme = dark.matches ? "dark" : "light";
  function dress() {
    document.documentElement.dataset.theme = theme;
    $("theme").textContent = theme === "dark" ? "Light" : "Dark";
    $("theme").setAttribute("aria-label", `Switch to the ${theme === "dark" ? "light" : "dark"} colours`);
    palette();
    draw();
  }
  $("theme").addEventListener("click", () => { theme = theme === "dark" ? "light" : "dark"; dress(); });
  dark.addEventListener("change", () => { theme = dark.matches ? "dark" : "light"; dress(); });

  const select = $("sessions");
  data.sessions.forEach((each, index) => { const option = element("option", "", short(each.name)); option.value = String(index); select.append(option); });
  $("choose").hidden = data.sessions.length < 2;
  select.addEventListener("change", () => open(Number(select.value)));

  document.documentElement.dataset.theme = theme;
  palette();
  open(0);
  dress();
  new ResizeObserver(resize).observe($("drawing"));
})();
