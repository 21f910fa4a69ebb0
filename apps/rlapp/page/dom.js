// Small helpers to build and change elements. Text is always text: nothing is parsed as HTML.

/** An element with properties (`class`, `data-x`, `aria-x` and others as attributes) and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-")) made[name] = value;
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Change a text only when it is another one: screen readers and layouts stay calm. */
export function set_text(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set or remove an attribute, only when that changes it. */
export function set_attribute(node, name, value) {
  if (value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/**
 * Keep a list of elements in step with items: one element a key, made once, updated, in order.
 * What stays is not touched, so that focus and selections stay, too.
 */
export class Keyed {
  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
    this.views = new Map();
  }

  show(items, key_of) {
    const wanted = new Set();
    let place = this.parent.firstElementChild;
    for (const item of items) {
      const key = key_of(item);
      wanted.add(key);
      if (!this.views.has(key)) this.views.set(key, this.make(item));
      const view = this.views.get(key);
      view.update(item);
      if (view.node === place) place = place.nextElementSibling;
      else this.parent.insertBefore(view.node, place);
    }
    for (const [key, view] of this.views) {
      if (wanted.has(key)) continue;
      view.node.remove();
      this.views.delete(key);
    }
  }
}

/** An item of a <select>'s list for each name, keeping what is chosen where it is still there. */
export function set_options(select, names, label_of = (name) => name) {
  const now = [...select.options].map((option) => option.value);
  if (now.length === names.length && now.every((value, index) => value === names[index])) return;
  const chosen = select.value;
  select.replaceChildren(
    ...names.map((name) => element("option", { value: name, textContent: label_of(name) })),
  );
  if (names.includes(chosen)) select.value = chosen;
}
