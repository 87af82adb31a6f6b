// A run at work moves: what it does is asked for every two seconds while the page is looked at. Whatever else has changed
// since the page was made is shown by loading it again.
"use strict";
(() => {
  const place = document.querySelector("[data-live]");
  if (!place) return;
  const known = place.dataset.live;
  const show = (selector, text) => document.querySelectorAll(selector).forEach((found) => { found.textContent = text; });
  const look = async () => {
    if (document.hidden) return;
    let now;
    try {
      const answer = await fetch("/live.json?" + new URLSearchParams(place.dataset.run ? { run: place.dataset.run } : {}));
      if (!answer.ok) return;
      now = await answer.json();
    } catch { return; }
    if (now.state !== known) {
      // Not under the hands of somebody who is choosing or typing.
      if (!document.querySelector("input:checked") && !document.activeElement?.form) location.reload();
      return;
    }
    for (const run of now.running) show(`[data-phase="${CSS.escape(run.run_id)}"]`, run.phase);
    if (now.log !== null) show("[data-log]", now.log);
  };
  setInterval(look, 2000);
})();
