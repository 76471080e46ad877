for (const rows of document.querySelectorAll(".rows")) {
  const text = rows.querySelector("input[type=search]"), boxes = rows.querySelectorAll("input[type=checkbox]");
  const lines = [...rows.querySelectorAll("tbody tr")];
  const show = () => {
    const wanted = text.value.toLowerCase(), kinds = [...boxes].filter(box => box.checked).map(box => box.value);
    for (const line of lines) {
      line.hidden = !kinds.includes(line.className) || !line.textContent.toLowerCase().includes(wanted);
    }
    rows.querySelector("output").textContent = `${lines.filter(line => !line.hidden).length} shown`;
  };
  rows.querySelector(".filter").hidden = false;
  rows.addEventListener("input", show);
}
