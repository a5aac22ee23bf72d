// Elements, numbers and requests.
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function el(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// A text that changes rarely is not written again: readers of the screen would read it again.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function number(value, digits = 2, fewest = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const most = Math.abs(value) >= 100 ? Math.max(digits - 1, 0) : digits;
  const format = { maximumFractionDigits: most, minimumFractionDigits: Math.min(fewest, most) };
  return value.toLocaleString("en", format).replace("-", "−").replace(/^−(0(\.0+)?)$/, "$1");
}

const percent = (value) => (value > 0 && value < 0.0005 ? "< 0.1 %" : `${(100 * value).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`);

function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1 ? `${number(value, 2)} s` : `${number(1000 * value, 1)} ms`;
}

function ago(value) {
  if (value < 90) return `${Math.round(value)} s`;
  return value < 5400 ? `${Math.round(value / 60)} min` : `${number(value / 3600, 1)} h`;
}

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let bearer = null; // in memory only
let asking = null; // the token, while the dialog is open

async function call(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  if (bearer !== null) headers.authorization = `Bearer ${bearer}`;
  const sent = bearer;
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(path, { method, headers, body: text, cache: "no-store", credentials: "omit" });
  if (answer.status === 401) {
    if (sent === bearer) await login(bearer !== null);
    return call(method, path, body);
  }
  const told = await answer.json();
  if (!answer.ok) throw new Refusal(answer.status, told.error ?? `HTTP ${answer.status}`);
  return told;
}

function login(again) {
  asking ??= new Promise((resolve) => {
    say($("login-error"), again ? "The service does not know this token." : "");
    $("token").value = "";
    $("login").addEventListener("cancel", (event) => event.preventDefault());
    $("login").addEventListener("close", () => {
      bearer = $("token").value;
      $("token").value = "";
      asking = null;
      resolve();
    }, { once: true });
    $("login").showModal();
  });
  return asking;
}
