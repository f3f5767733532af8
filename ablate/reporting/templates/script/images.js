// Images on which two Variants disagree.
const IMAGES_AT_ONCE = 24;

function startImages(data, found) {
  if (!found) return;
  const first = find("#image-first"), second = find("#image-second");
  const nameOf = number => data.variants[found.variants[number][0]][0];
  const options = found.variants.map((_, number) => [number, nameOf(number)]);
  fill(first, options, 0);
  fill(second, options, options.length > 1 ? 1 : 0);
  const called = label => found.classes[label] ?? label;
  const share = (variant, image) => found.variants[variant][2][image] / found.variants[variant][1];

  function card(image, variants) {
    const [index, label, picture] = found.images[image];
    const shown = picture ? make("img", {src: picture, alt: `held-out image ${index}, class ${called(label)}`}) : make("div", {class: "without"}, `image ${index}`);
    if (picture) shown.addEventListener("load", () => shown.classList.toggle("small", shown.naturalWidth < 64));
    const lines = variants.map(variant => {
      const [, seeds, right, said] = found.variants[variant];
      return make("div", {}, `${nameOf(variant)}: ${right[image]}/${seeds}, says ${called(said[image])}`);
    });
    return make("li", {}, shown, make("strong", {}, `Class ${called(label)}`), ...lines);
  }

  function show() {
    const [a, b] = [Number(first.value), Number(second.value)];
    const gap = image => share(a, image) - share(b, image);
    const images = found.images.map((_, image) => image).filter(image => gap(image) > 0).sort((i, j) => gap(j) - gap(i));
    find("#image-list").replaceChildren(...images.slice(0, IMAGES_AT_ONCE).map(image => card(image, [a, b])));
    const shown = images.length > IMAGES_AT_ONCE ? `; the ${IMAGES_AT_ONCE} clearest are shown` : "";
    find("#image-count").textContent = a === b ? "Choose two Variants." :
      `Of ${found.of.toLocaleString("en")} held-out images, the shares of right seeds differ on ${found.differ[a][b].toLocaleString("en")}, in either direction. ` +
      `On this page are ${images.length} on which ${nameOf(a)} is right more often than ${nameOf(b)}${shown}.`;
  }

  first.addEventListener("change", show);
  second.addEventListener("change", show);
  find("#image-swap").addEventListener("click", () => { [first.value, second.value] = [second.value, first.value]; show(); });
  show();
}
