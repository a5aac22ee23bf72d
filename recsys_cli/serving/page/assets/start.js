// The form, the buttons, and the clock.
function example() {
  $("ask-body").value = JSON.stringify(state.problem.example, null, 1).replace(/\n\s+(-?[\d.]+,?)(?=\n)/g, " $1").replace(/\n\s+\]/g, " ]");
}

async function ask(event) {
  event.preventDefault();
  try {
    say($("ask-answer"), JSON.stringify(await call("POST", "/v1/rank", $("ask-body").value), null, 1));
  } catch (error) {
    say($("ask-answer"), error instanceof Refusal ? `${error.status}: ${error.message}` : "the service does not answer");
  }
}

async function tick() {
  if (!document.hidden) {
    try {
      await refresh();
    } catch (error) {
      trouble(error);
    }
  }
  setTimeout(tick, 1000);
}

async function start() {
  $("step").addEventListener("click", () => step(null));
  $("no-click").addEventListener("click", () => step(-1));
  $("play").addEventListener("click", () => (playing ? stop() : play()));
  $("new-user").addEventListener("click", () => { stop(); session.moment = null; step(null); });
  $("kill").addEventListener("click", () => change({ only_control: !state.router.only_control }));
  $("ask-form").addEventListener("submit", ask);
  $("ask-example").addEventListener("click", example);
  while (state === null) {
    try {
      const now = await call("GET", "/ui/state");
      $("session").hidden = !now.problem.simulated;
      $("ask-more").open = !now.problem.simulated;
      showState(now);
    } catch (error) {
      trouble(error);
      await pause(1000);
    }
  }
  const { problem } = state;
  document.title = `${problem.name} · recsys serve`;
  say($("problem"), problem.name);
  say($("session-hint"), `A policy picks ${problem.slate_size} documents for a user to see. What the user does now changes what comes later: the policy with the greatest return over a whole session is the best.`);
  example();
  if (problem.simulated) await step(null);
  for (const part of document.querySelectorAll(".waiting")) part.classList.remove("waiting");
  setTimeout(tick, 1000);
}

start();
