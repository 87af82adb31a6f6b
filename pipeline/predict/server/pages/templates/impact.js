// A file that is dropped is one that was chosen.
(() => {
  const form = document.querySelector("[data-drop]"), input = form.elements.file;
  const over = (event, on) => { event.preventDefault(); form.classList.toggle("over", on); };
  document.addEventListener("dragover", (event) => over(event, true));
  document.addEventListener("dragleave", (event) => over(event, false));
  document.addEventListener("drop", (event) => {
    over(event, false);
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    form.requestSubmit();
  });
})();
