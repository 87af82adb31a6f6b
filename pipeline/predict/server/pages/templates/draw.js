// The sheet: strokes of mouse, finger or pen are drawn, sent as a picture when one ends, and the answer is put in its place.
(() => {
  const form = document.querySelector("form.sheet"), canvas = form.querySelector("canvas");
  const ink = canvas.getContext("2d"), strokes = [];
  let stroke = null, asking = null, waiting = 0, last = null;
  form.querySelector(".board").hidden = false;

  const draw = () => {
    ink.fillStyle = "#fff"; ink.fillRect(0, 0, canvas.width, canvas.height);
    ink.lineCap = ink.lineJoin = "round"; ink.strokeStyle = ink.fillStyle = "#000";
    for (const points of strokes) {
      // A point alone is a dot: a line to itself is not drawn everywhere.
      if (points.length === 1) { ink.beginPath(); ink.arc(points[0].x, points[0].y, points[0].w / 2, 0, 7); ink.fill(); }
      for (let at = 1; at < points.length; at++) {
        ink.lineWidth = points[at].w; ink.beginPath();
        ink.moveTo(points[at - 1].x, points[at - 1].y); ink.lineTo(points[at].x, points[at].y); ink.stroke();
      }
    }
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    const w = event.pointerType === "pen" && event.pressure ? 12 + 14 * event.pressure : 20;
    return { x: (event.clientX - box.left - canvas.clientLeft) * scale, y: (event.clientY - box.top - canvas.clientTop) * scale, w };
  };
  const show = (html) => {
    const found = new DOMParser().parseFromString(html, "text/html").getElementById("answer");
    if (!found) return;
    document.getElementById("answer").replaceChildren(...document.adoptNode(found).childNodes);
    if (document.querySelector("[data-making]")) waiting = setTimeout(look, 400);
  };
  const say = (text) => {
    const line = document.createElement("p"); line.textContent = text;
    document.getElementById("answer").replaceChildren(line);
  };
  const ask = async (picture, name) => {
    last = [picture, name];
    clearTimeout(waiting); asking?.abort();
    const mine = asking = new AbortController(), body = new FormData();
    body.append("file", picture, name);
    try {
      const answer = await fetch(form.action, { method: "POST", body, signal: mine.signal });
      const html = await answer.text();
      if (mine !== asking) return;
      if (answer.headers.get("content-type")?.startsWith("text/html")) show(html); else say("No answer: " + answer.status);
    } catch { if (mine === asking) say("The server does not answer."); }
  };
  // The rows are encoded once for a version: how far they are is said until they are there, then the last picture is asked about.
  const look = async () => {
    try {
      const now = await (await fetch("/draw/rows.json")).json(), place = document.querySelector("[data-progress]");
      if (now.state !== "making") return void (last && ask(...last));
      if (place) place.textContent = now.text;
    } catch { /* the next look may find it again */ }
    waiting = setTimeout(look, 400);
  };
  const changed = () => {
    draw();
    if (strokes.length) canvas.toBlob((picture) => picture && ask(picture, "drawing.png"), "image/png");
    else { clearTimeout(waiting); asking?.abort(); asking = last = null; say("No picture yet."); }
  };
  const undo = () => { strokes.pop(); changed(); }, clear = () => { strokes.length = 0; changed(); };

  canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    strokes.push(stroke = [point(event)]); draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke || !event.isPrimary) return;
    const all = event.getCoalescedEvents?.() ?? [];
    stroke.push(...(all.length ? all : [event]).map(point)); draw();
  });
  const end = (event) => { if (stroke && event.isPrimary) { stroke = null; changed(); } };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("keydown", (event) => {
    const act = { Backspace: undo, z: event.ctrlKey || event.metaKey ? undo : null, Delete: clear }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  form.querySelector("[data-undo]").addEventListener("click", undo);
  form.querySelector("[data-clear]").addEventListener("click", clear);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [file] = form.elements.file.files;
    if (file) ask(file, file.name);
  });
  draw();
})();
