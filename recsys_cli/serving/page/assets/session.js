// A simulated user: the page asks for slates and reports what came of them, as a client does.
const session = { seed: 0, acts: [], moment: null, decision: null, slate: [], previous: null, busy: false, shown: false };
let playing = false;
let ended = [];

const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });
const idOf = (position) => `document-${position + 1}`;
const clicks = () => session.acts.filter((act) => act.was >= 0).length;

async function newUser() {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  Object.assign(session, { seed, name: `page-${seed}`, acts: [], decision: null, slate: [], previous: null });
  session.moment = await call("POST", "/ui/user", { seed, acts: [] });
  await showSlate();
  say($("news"), "A new user. Click what you would click, or let the simulated user decide: Step.");
}

// Ask for a slate for the user as it is now.
async function showSlate() {
  const { moment, previous } = session;
  const candidates = moment.candidates.map((features, position) => ({ id: idOf(position), features }));
  const asked = { session: session.name, user: moment.user, candidates };
  if (previous) asked.response = moment.response;
  if (previous?.session_state) asked.session_state = previous.session_state;
  const decision = await call("POST", "/v1/rank", asked);
  session.decision = decision;
  session.slate = decision.slate.map((item) => candidates.findIndex((candidate) => candidate.id === item.id));
  showWire("wire-asked", asked);
  showWire("wire-answered", decision);
  draw();
}

// Let the user respond to the slate: by a click on a position, -1 for none, or null, as the simulator has it.
async function respond(click) {
  const act = { slate: session.slate, click };
  const acts = [...session.acts.map(({ slate, click: by }) => ({ slate, click: by })), act];
  const moment = await call("POST", "/ui/user", { seed: session.seed, acts });
  session.acts = [...session.acts, { ...act, was: moment.clicked }];
  const before = session.moment;
  session.moment = moment;
  session.previous = session.decision;
  const reward = { reward: moment.reward, response: moment.response, final: moment.done };
  await call("POST", `/v1/events/${encodeURIComponent(session.decision.event_id)}/reward`, reward);
  showWire("wire-reward", reward);
  say($("wire-reward-title"), `POST /v1/events/${session.decision.event_id}/reward`);
  const card = moment.clicked < 0 ? null : before.cards[session.slate[moment.clicked]];
  const what = card ? `clicked ${card.label}` : "clicked nothing";
  say($("news"), `Step ${session.acts.length}: the user ${what}. Reward ${number(moment.reward)}.${moment.done ? ` The session is over: return ${number(moment.total)}.` : ""}`);
  mark(moment);
  if (moment.done) finish(moment);
}

function finish(moment) {
  ended = [{ policy: session.decision.policy, total: moment.total, steps: session.acts.length }, ...ended].slice(0, 12);
  $("sessions").replaceChildren(...ended.map((one) => {
    const dot = el("span", { className: "dot" });
    dot.style.background = colorOf(one.policy);
    return el("li", { title: `${one.steps} steps` }, dot, `${one.policy} ${number(one.total)}`);
  }));
}

// One step: respond, look at it for a moment, then the next slate or the next user.
async function step(click) {
  if (session.busy) return;
  session.busy = true;
  const focused = [...$("slate").children].indexOf(document.activeElement);
  enable();
  try {
    if (!session.moment || session.moment.done) await newUser();
    else {
      await respond(click);
      if (!session.moment.done) {
        await pause(Number($("speed").value));
        await showSlate();
      }
    }
  } catch (error) {
    stop();
    if (error instanceof Refusal) say($("news"), `Refused: ${error.message}.`);
    else trouble(error);
  } finally {
    session.busy = false;
    enable();
    if (focused >= 0) $("slate").children[focused]?.focus({ preventScroll: true });
  }
}

async function play() {
  playing = true;
  $("play").setAttribute("aria-pressed", "true");
  say($("play"), "Pause");
  $("news").ariaLive = "off"; // too much to be read aloud
  while (playing) {
    await step(null);
    await pause(Number($("speed").value));
  }
}

function stop() {
  playing = false;
  $("play").setAttribute("aria-pressed", "false");
  say($("play"), "Play");
  $("news").ariaLive = "polite";
}

function enable() {
  const open = session.decision !== null && !session.moment?.done && !playing;
  for (const card of $("slate").children) card.disabled = !open || session.busy;
  $("no-click").disabled = !open || session.busy;
  say($("step"), session.moment?.done ? "Next user" : "Step");
}

function fact(each) {
  const row = el("span", { className: "fact" }, each.name, el("b", {}, number(each.value, 2, 2)));
  row.append(bar(each.value, each.low, each.high, "var(--bar)"));
  return row;
}

function draw() {
  const { moment, decision, slate } = session;
  const cards = slate.map((position, place) => {
    const about = moment.cards[position], score = decision.slate[place].score;
    const cover = el("span", { className: "cover" }, about.label);
    const words = el("span", { className: "about" }, ...about.facts.map(fact), el("span", { className: "score" }, score === null ? "no score" : `score ${number(score, 2, 2)}`));
    const card = el("button", { type: "button", className: "doc" }, cover, words);
    card.style.setProperty("--hue", 360 * about.hue);
    card.setAttribute("aria-label", `Click ${about.label}, position ${place + 1}`);
    card.addEventListener("click", () => step(place));
    return card;
  });
  $("slate").replaceChildren(...cards);
  const rest = moment.cards.map((card, position) => ({ card, position })).filter(({ position }) => !slate.includes(position)).slice(0, 60);
  $("rest").replaceChildren(...rest.map(({ card }) => {
    const node = el("li", {}, card.label, el("small", {}, card.facts.length ? `${card.facts[0].name} ${number(card.facts[0].value, 2, 2)}` : ""));
    node.style.setProperty("--hue", 360 * card.hue);
    return node;
  }));
  $("rest").style.minHeight = `${Math.max($("rest").offsetHeight, parseFloat($("rest").style.minHeight) || 0)}px`; // nothing below jumps
  const dot = el("span", { className: "dot" });
  dot.style.background = colorOf(decision.policy);
  $("session-policy").replaceChildren(dot, decision.policy);
  $("session-policy").title = `version ${decision.version}, propensity ${number(decision.propensity.total, 4)}`;
  tell(moment);
}

function mark(moment) {
  [...$("slate").children].forEach((card, place) => {
    const clicked = place === moment.clicked;
    card.classList.add(clicked ? "clicked" : "passed");
    if (clicked) card.append(el("span", { className: "badge" }, `+${number(moment.reward)}`));
  });
  tell(moment);
}

function tell(moment) {
  say($("session-return"), number(moment.total));
  say($("session-steps"), `${session.acts.length}`);
  say($("session-clicks"), `${clicks()}`);
  const { names, low, high } = state.problem.user;
  if (moment.user.length) columns($("user-plot"), `Features of the user: ${moment.user.map((value) => number(value)).join(", ")}`, moment.user, names, low, high);
  else nothing($("user-plot"), "nothing: only responses tell");
  session.totals = session.acts.length ? [...(session.totals ?? [0]).slice(0, session.acts.length), moment.total] : [0];
  const steps = session.totals.map((_, i) => i);
  lines($("return-plot"), `Return after ${session.acts.length} steps: ${number(moment.total)}`, steps, [{ name: "return", color: color(0), values: session.totals }], (value) => number(value, 1), "first step", `step ${session.acts.length}`);
}

// Long lists are cut: this is to be read.
function showWire(id, content) {
  const brief = (key, value) => (Array.isArray(value) && value.length > 6 && typeof value[0] === "number" ? [...value.slice(0, 4), `… ${value.length} numbers`] : key === "session_state" && value ? `${value.slice(0, 24)}…` : value);
  const short = content.candidates?.length > 3 ? { ...content, candidates: [...content.candidates.slice(0, 2), `… ${content.candidates.length} candidates`] } : content;
  say($(id), JSON.stringify(short, brief, 1));
}
