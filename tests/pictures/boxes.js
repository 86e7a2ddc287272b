// In a page with many SVGs, each in a <figure id=NAME>: do texts overlap, does one leave the picture?
// The answer is the text of #answer, in lines of TAP without numbers.
const lines = []
const round = r => [r.left, r.top, r.right, r.bottom].map(x => Math.round(x)).join(' ')
window.addEventListener('load', () => {
  for (const figure of document.querySelectorAll('figure')) {
    const frame = figure.querySelector('svg').getBoundingClientRect()
    const texts = [...figure.querySelectorAll('text')].filter(t => t.textContent.trim())
      .map(t => ({ text: t.textContent, r: t.getBoundingClientRect() }))
    const wrong = []
    // As a picture it is read as XML, unlike here in the page.
    if (!figure.querySelector('img').naturalWidth) wrong.push('not well-formed')
    texts.forEach(({ text, r }, i) => {
      if (r.width === 0 || r.left < frame.left || r.right > frame.right || r.top < frame.top ||
          r.bottom > frame.bottom) wrong.push(`"${text}" leaves the picture: ${round(r)} of ${round(frame)}`)
      for (const b of texts.slice(i + 1))
        if (r.left < b.r.right && b.r.left < r.right && r.top < b.r.bottom && b.r.top < r.bottom)
          wrong.push(`"${text}" overlaps "${b.text}": ${round(r)}, ${round(b.r)}`)
    })
    const what = `${figure.id}: ${texts.length} texts apart and inside`
    lines.push(`${wrong.length || texts.length < 3 ? 'not ok' : 'ok'} - ${what}`, ...wrong.slice(0, 5).map(w => `# ${w}`))
  }
  document.getElementById('answer').textContent = '\n' + lines.join('\n') + '\nend\n'
})
