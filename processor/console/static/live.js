// Keeps the page up to date: when the console says that something changed, the parts marked data-live are taken from a
// fresh copy of the page. Forms are never replaced; without this script the page works the same, on reload.
const source = new EventSource(document.currentScript.dataset.source);
source.onmessage = async () => {
  const answer = await fetch(location.pathname);
  if (!answer.ok || answer.redirected) return source.close();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || part.contains(document.activeElement)) continue;
    for (const open of part.querySelectorAll("details[open]")) fresh.getElementById(open.id)?.setAttribute("open", "");
    part.replaceWith(document.adoptNode(next));
  }
};
