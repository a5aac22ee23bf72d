// The panels of what the service is doing.
let state = null;
const heard = new Map(); // of processes
const rows = new Map(); // of the table, by policy

const colorOf = (name) => color(Math.max(state.policies.findIndex((policy) => policy.name === name), 0));

const MODES = {
  shadow: "the control's slates are shown, the others are scored",
  apprentice: "the caller's order is shown, the policies are scored",
  logging_only: "the caller's order is shown and logged",
};

function showState(now) {
  state = now;
  const { router, policies } = now, processes = seen(now.process), process = processes[0];
  const several = policies.length > 1;
  say($("status-text"), `epoch ${router.epoch} · ${policies.length} ${several ? "policies" : "policy"} · up ${ago(process.uptime)}`);
  $("status").className = "well";
  const late = now.lag > 10 ? ` Learning is ${ago(now.lag)} behind the log.` : "";
  const how = MODES[router.mode] ?? (several ? `the router (${router.name}) shares users among ${policies.length} policies, and learns from their rewards` : "one policy decides; with several, a router would learn which is best");
  say($("router-line"), `${how[0].toUpperCase()}${how.slice(1)}.${late}`);
  const unit = router.unit === "session" ? "Return" : "Reward";
  say($("reward-title"), unit);
  say($("mean-title"), `Mean ${unit.toLowerCase()}, 95 % interval`);
  policies.forEach(showPolicy);
  for (const [name, row] of rows) if (!policies.some((policy) => policy.name === name)) { row.remove(); rows.delete(name); }
  $("kill").disabled = !several;
  $("kill").setAttribute("aria-pressed", router.only_control);
  say($("kill"), router.only_control ? "Let all policies decide again" : "Only the control");
  showHistory(process.history, policies);
  const earned = policies.filter((policy) => policy.reward?.count).map((policy) => ({ name: policy.name, color: colorOf(policy.name), ...policy.reward }));
  intervals($("mean-plot"), earned.map((row) => `${row.name}: ${number(row.mean)}, ${number(row.low)} to ${number(row.high)}`).join("; "), earned);
  const sum = (key) => processes.reduce((total, each) => total + each[key], 0);
  const most = (key) => Math.max(...processes.map((each) => each[key] ?? -1));
  say($("load-requests"), number(sum("requests"), 1));
  say($("load-p50"), seconds(most("p50") < 0 ? null : most("p50")));
  say($("load-p99"), seconds(most("p99") < 0 ? null : most("p99")));
  say($("load-refused"), number(sum("refused"), 0));
  const alone = processes.length === 1, count = `${processes.length} processes seen`;
  say($("load-of"), alone ? "of this process" : `${count}: sums, the slowest; charts of one`);
  say($("drift-of"), alone ? "of this process" : `${count}: the greatest`);
  const drifts = processes.map((each) => each.drift).filter((drift) => drift);
  showDrift(drifts.sort((one, other) => other.drift - one.drift)[0] ?? null, router.drift_limit);
}

// Each process counts for itself, and any may answer: what was heard of each lately, always in the same order.
function seen(process) {
  heard.set(process.id, { at: Date.now(), process });
  for (const [id, { at }] of heard) if (Date.now() - at > 20_000) heard.delete(id);
  return [...heard.keys()].sort().map((id) => heard.get(id).process);
}

function showPolicy(policy) {
  let row = rows.get(policy.name);
  if (!row) {
    const dot = el("span", { className: "dot" });
    dot.style.background = colorOf(policy.name);
    const button = el("button", { type: "button", className: "small" });
    button.addEventListener("click", () => change({ [button.dataset.on === "true" ? "disable" : "enable"]: [policy.name] }));
    row = el("tr", {}, el("td", {}, dot, el("strong", {}, policy.name), el("small")), el("td", { className: "share" }, el("span"), el("span")), el("td", {}, el("span"), el("small")), el("td", {}, button));
    rows.set(policy.name, row);
    $("policies").append(row);
  }
  const [name, share, reward, last] = row.children;
  say(name.lastChild, `${policy.version}${policy.control ? " · control" : ""}`);
  say(share.firstChild, percent(policy.share));
  share.lastChild.replaceChildren(bar(policy.share, 0, 1, colorOf(policy.name)));
  const known = policy.reward, half = known && (known.high - known.low) / 2;
  say(reward.firstChild, known?.count ? number(known.mean) : "–");
  say(reward.lastChild, known?.count ? `${Number.isFinite(half) ? `± ${number(half)}, ` : ""}n = ${number(known.count, 0)}` : "none yet");
  const button = last.firstChild;
  button.hidden = policy.control;
  button.dataset.on = policy.enabled;
  say(button, policy.enabled ? "Disable" : "Enable");
  button.setAttribute("aria-label", `${policy.enabled ? "Disable" : "Enable"} ${policy.name}`);
  row.className = policy.enabled && (policy.control || !state.router.only_control) ? "" : "off";
}

async function change(body) {
  try {
    await call("PUT", "/v1/router", body);
    await refresh();
  } catch (error) {
    trouble(error);
  }
}

function showHistory(history, policies) {
  const x = history.ago.map((value) => -value);
  const begin = x.length ? `${ago(history.ago[0])} ago` : "", end = "now";
  const shares = policies.map((policy) => ({ name: policy.name, color: colorOf(policy.name), values: history[`share/${policy.name}`] ?? x.map(() => null) }));
  stack($("share-plot"), `Shares now: ${policies.map((policy) => `${policy.name} ${percent(policy.share)}`).join(", ")}`, x, shares, begin, end);
  const one = (name, key, fill) => ({ name, color: fill, values: history[key] ?? [] });
  lines($("requests-plot"), "Requests per second over time", x, [one("requests / s", "requests", color(0))], (value) => number(value, 1), begin, end);
  lines($("latency-plot"), "Latency over time", x, [one("p99", "p99", color(1)), one("p50", "p50", color(0))], seconds, begin, end);
}

function showDrift(drift, limit) {
  const line = $("drift-line");
  line.classList.toggle("alarm", drift?.alarm ?? false);
  if (!drift) {
    say(line, "There is nothing to compare requests with: that takes the control's simulator, or the profile of a log in its checkpoint.");
    $("drift").replaceChildren();
    return;
  }
  const few = drift.worst.length === 0;
  say(line, few ? `New users and their candidates are compared with those of the training, from 50 sessions on (so far ${drift.sessions}).` : drift.alarm ? "New users and their candidates no longer look like those of the training. The features that differ most:" : "New users and their candidates look like those of the training. The features that differ most:");
  $("drift").replaceChildren(...drift.worst.map((feature) => {
    const over = feature.drift > limit;
    const picture = bar(feature.drift, 0, Math.max(2 * limit, feature.drift), over ? "var(--bad)" : "var(--bar)", 0, limit);
    const shift = number(feature.shift);
    const how = `${number(feature.drift)} (${shift.startsWith("−") || shift === "0" ? "" : "+"}${shift} sd)`;
    return el("li", { title: `population stability index; the mark is the limit, ${limit}` }, el("span", {}, feature.feature), picture, el("span", {}, how));
  }));
}

function trouble(error) {
  const ours = error instanceof Refusal;
  say($("status-text"), ours ? error.message : "the service does not answer; trying again");
  $("status").className = "ill";
}

async function refresh() {
  showState(await call("GET", "/ui/state"));
}
