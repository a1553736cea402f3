// Plays the pictures of a .player: data-frames has, of each of its images, the PNGs in base64.
for (const box of document.querySelectorAll(".player")) {
  const films = JSON.parse(box.dataset.frames), images = [...box.querySelectorAll("img")], count = films[0].length;
  const slider = box.querySelector("input"), button = box.querySelector("button");
  let timer = null;
  const show = (k) => {
    images.forEach((image, place) => (image.src = "data:image/png;base64," + films[place][k]));
    slider.value = k;
  };
  const stop = () => {
    clearInterval(timer), (timer = null), (button.textContent = "play");
  };
  const next = () => (+slider.value < count - 1 ? show(+slider.value + 1) : stop());
  button.onclick = () => {
    if (timer) return stop();
    if (+slider.value === count - 1) show(0);
    (timer = setInterval(next, 1000 * box.dataset.seconds)), (button.textContent = "pause");
  };
  slider.oninput = () => (stop(), show(+slider.value));
}
