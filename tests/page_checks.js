// What is wrong with a page as it is shown now, in words; an empty list where nothing is.
(() => {
  const wrong = [], width = document.documentElement.clientWidth;
  const said = e => e.outerHTML.slice(0, 80);
  const style = e => getComputedStyle(e);
  const ancestors = e => { const all = []; for (; e; e = e.parentElement) all.push(e); return all; };
  const scrolls = e => ancestors(e).some(a => a.matches('.scroll') && style(a).overflowX === 'auto');
  const clipped = e => ancestors(e).some(a => style(a).clipPath !== 'none');

  // Nothing is wider than the screen, unless it lies in a box that scrolls and says so.
  if (document.documentElement.scrollWidth > width) wrong.push('the page scrolls sideways');
  for (const e of document.body.querySelectorAll('*')) {
    if (e.getBoundingClientRect().right > width + 1 && !scrolls(e) && !clipped(e)) wrong.push(`wider than the screen: ${said(e)}`);
    if (style(e).overflowX !== 'visible' && !e.matches('.scroll') && !clipped(e) && e.scrollWidth > e.clientWidth + 1)
      wrong.push(`cut: ${said(e)}`);
  }
  for (const e of document.querySelectorAll('.scroll'))
    if (e.scrollWidth > e.clientWidth + 1 && !style(e).backgroundImage.includes('gradient')) wrong.push(`no hint: ${said(e)}`);

  // No text lies on another, and every text stands out from what is behind it.
  const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!node.data.trim() || e.matches('style, script') || !e.checkVisibility() || clipped(e)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) if (box.width > 1) texts.push({node, box});
    const ratio = contrast(e);
    if (ratio < 4.5) wrong.push(`contrast ${ratio.toFixed(2)}: ${said(e)}`);
  }
  texts.sort((a, b) => a.box.top - b.box.top);
  texts.forEach(({node, box}, i) => {
    for (let k = i + 1; k < texts.length && texts[k].box.top < box.bottom - 3; k++) {
      const other = texts[k].box;
      const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
      const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
      if (across > 2 && down > 3) wrong.push(`one on another: ${node.data.slice(0, 30)} / ${texts[k].node.data.slice(0, 30)}`);
    }
  });

  function contrast(e) {
    const layers = ancestors(e).map(a => numbers(style(a).backgroundColor)), behind = [255, 255, 255];
    for (const [r, g, b, alpha] of layers.reverse())
      [r, g, b].forEach((x, i) => { behind[i] = alpha * x + (1 - alpha) * behind[i]; });
    const [light, dark] = [luminance(numbers(style(e).color)), luminance(behind)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }
  function numbers(colour) {
    const found = colour.match(/[\d.]+/g).map(Number);
    return found.length === 3 ? [...found, 1] : found;
  }
  function luminance(rgb) {
    const [r, g, b] = rgb.map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  // Pictures are there, are those for this screen, and say what they show.
  const paper = matchMedia('(prefers-color-scheme: dark)').matches ? '#15181d' : '#ffffff';
  for (const image of document.images) {
    if (!image.complete || !image.naturalWidth) wrong.push(`not loaded: ${image.alt}`);
    if (image.alt.length < 20) wrong.push(`alt text: ${image.alt}`);
    const source = image.currentSrc.startsWith('data:') ? atob(image.currentSrc.split(',')[1]) : '';
    if ((source.match(/width="([\d.]+)pt"/)?.[1] < 300) !== innerWidth <= 640) wrong.push(`not for this width: ${image.alt}`);
    if (source.match(/fill: (#\w+)/)?.[1] !== paper) wrong.push(`not for these colours: ${image.alt}`);
  }

  // Headings are in order, tables have headers, the language is known.
  const levels = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => +h.tagName[1]);
  if (levels[0] !== 1 || levels.some((level, i) => i && level > levels[i - 1] + 1)) wrong.push(`headings ${levels}`);
  for (const th of document.querySelectorAll('th')) if (!th.scope) wrong.push(`no scope: ${said(th)}`);
  for (const d of document.querySelectorAll('details')) if (!d.querySelector('summary')) wrong.push(`no summary: ${said(d)}`);
  if (!document.documentElement.lang) wrong.push('no language');
  return wrong;
})()
