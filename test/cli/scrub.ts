/** What differs at each run, and says nothing: times, processes, names of this run's databases. In this order. */
const UNSTABLE: readonly (readonly [RegExp, string])[] = [
  // Where something was thrown changes with every version of Node, and of this.
  [/\n {4}at .*/g, ''],
  [/test_[0-9a-f]{32}/g, '<database>'],
  [/role_[0-9a-f]{32}/g, '<role>'],
  [/127\.0\.0\.1:\d+/g, '<host>'],
  [/PostgreSQL \d+(\.\d+)?/g, 'PostgreSQL <version>'],
  [/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g, '<time>'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>'],
  [/"(\w*Ms)": \d+(\.\d+)?/g, '"$1": "<ms>"'],
  [/"pid": \d+/g, '"pid": "<pid>"'],
  [/"transaction": "[^"]+"/g, '"transaction": "<transaction>"'],
  [/"(id|incarnation)": "[0-9a-f-]{36}"/g, '"$1": "<id>"'],
  [/"request": "[0-9a-f-]{36}"/g, '"request": "<id>"'],
  [/"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"/g, '"<id>"'],
  [/"node": "[^"]+"/g, '"node": "<node>"'],
  [/"stack": "[^"]*"/g, '"stack": "<stack>"'],
  [/\bpid \d+/g, 'pid <pid>'],
  [/\bprocess \d+/g, 'process <pid>'],
  [/(pg_terminate_backend\(|pid in \()\d+/g, '$1<pid>'],
  [/, by [^\s,]+\/\d+/g, ', by <node>'],
  [/\bas [^\s,]+\/\d+ said/g, 'as <node> said'],
  // It is tried again meanwhile.
  [/has failed (once|\d+ times) in/g, 'has failed <number> times in'],
  [/"failures": \d+/g, '"failures": "<number>"'],
  // Of Tidemark's tables.
  [/\bof the version \d+/g, 'of the version <version>'],
  [/\bthis program knows \d+/g, 'this program knows <version>'],
  [/\bfrom version \d+ to \d+/g, 'from version <version> to <version>'],
  [/"(before|after|applied|latest)": \d+/g, '"$1": "<version>"'],
  [/\(\d+ looks\)/g, '(<number> looks)'],
  [/\bin \d+ looks\b/g, 'in <number> looks'],
  [/"looks": \d+/g, '"looks": "<number>"'],
  // On a busy machine there may be one alone.
  [/\b\d+ looks?(?:, [\d.]+ \w+ apart)?\. What/g, '<number> looks, <time> apart. What'],
  [/\b[\d.]+ (ms|s|min|h|d)\b/g, '<time>'],
  // Columns are as wide as what stands in them.
  [/(?<=\S) {2,}/g, '  '],
]

/** The same text at each run. */
export function scrubbed(text: string): string {
  return UNSTABLE.reduce((so, [what, instead]) => so.replaceAll(what, instead), text)
}
