/** Like Grafana's dark theme; the picture has its own background, so it is readable on a light page too. */
export const THEME = {
  font: "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
  page: '#111217',
  panel: '#181b1f',
  border: '#2c3038',
  grid: '#2a2d33',
  text: '#dcdce4',
  muted: '#9a9ba6',
} as const

/** By the names that the dashboard has for them. */
const COLORS: Readonly<Record<string, string>> = {
  green: '#73bf69',
  orange: '#ff9830',
  red: '#ff6b7f',
  text: THEME.text,
}

export function colorNamed(name: string): string {
  return COLORS[name] ?? THEME.text
}

const LINES = ['#ff9830', '#5794f2', '#73bf69', '#b877d9', '#f2cc0c', '#37c8c3'] as const

/** A consumer has one colour in all panels of a picture. */
export function lineColors(legends: readonly string[]): (legend: string) => string {
  const distinct = [...new Set(legends)].sort()
  return (legend) => LINES[distinct.indexOf(legend) % LINES.length] ?? THEME.text
}
