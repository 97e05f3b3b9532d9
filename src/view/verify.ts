/** What a verification found. */
import {isID} from '../digest.ts'
import {printable, printableText, quotes} from '../text.ts'
import type {Evidence, Finding, Severity, Verification} from '../verify.ts'
import {formatSize} from './size.ts'
import {formatCount} from './text.ts'

/** An archive, as `--json` prints it: a verification, or why there is none. */
export type VerifiedArchive =
  | (Omit<Verification, 'findings'> & {
      /** `wrong` when there is an error among the findings. */
      readonly status: 'sound' | 'wrong'
      /** How many there are of each severity, those that are omitted not counted. */
      readonly counts: Readonly<Record<Severity, number>>
      readonly findings: readonly FoundDocument[]
    })
  | {
      readonly archive: string
      readonly status: 'unreadable'
      /** As every command prints it. */
      readonly error: Readonly<Record<string, string | number>>
    }

/** A finding, as `--json` prints it; bytes of names are printable. */
export interface FoundDocument extends Omit<Finding, 'member' | 'entry'> {
  readonly member?: string
  readonly entry?: string
}

/** What `--json` says of a verification. */
export function verifiedDocument(verification: Verification): VerifiedArchive {
  const {archive, findings, ...rest} = verification
  const counts = countFindings(findings)
  const status = counts.error === 0 ? 'sound' : 'wrong'
  return {archive, status, counts, ...rest, findings: findings.map(foundDocument)}
}

/** Findings of one code and severity that the text shows; `--json` has all. */
const shownOfOneKind = 10

/**
 * A line for the archive, and below it the findings, the worst first.
 *
 * @param options.quiet leaves out notes and warnings
 */
export function formatVerification(verification: Verification, options: {readonly quiet?: boolean} = {}): string[] {
  const severities: readonly Severity[] = options.quiet ? ['error'] : ['error', 'warning', 'note']
  const findings = severities.flatMap((severity) => verification.findings.filter((each) => each.severity === severity))
  const groups = Map.groupBy(findings, ({code, severity}) => `${code} ${severity}`)
  return [formatHead(verification), ...[...groups.values()].flatMap((group) => formatGroup(group))]
}

function formatHead({archive, format, images, layers, bytes, findings, omitted}: Verification): string {
  const counts = countFindings(findings)
  const verdict = counts.error === 0 ? 'sound' : `wrong in ${formatCount(counts.error, 'way')}`
  const odd = [
    ...(counts.warning > 0 ? [formatCount(counts.warning, 'warning')] : []),
    ...(counts.note > 0 ? [formatCount(counts.note, 'note')] : []),
    ...(omitted > 0 ? [`${omitted} findings more`] : []),
  ]
  const scope = `${format}, ${formatCount(images.length, 'image')}, ${formatCount(layers, 'layer')}, ${formatSize(bytes)}`
  return `${printableText(archive)}: ${[verdict, ...odd].join(', ')} (${scope})`
}

function formatGroup(findings: readonly Finding[]): string[] {
  const shown = findings.slice(0, shownOfOneKind).flatMap(formatFinding)
  const more = findings.length - shownOfOneKind
  const [{severity, code}] = findings as [Finding]
  return more > 0 ? [...shown, `  ${severity}: ${more} more of ${code}; --json has all`] : shown
}

function formatFinding(finding: Finding): string[] {
  const {severity, message, expected, found} = finding
  return [
    `  ${severity}: ${printableText(message)}${formatPlace(finding)}`,
    ...formatEvidence('expected', expected),
    ...formatEvidence('found', found),
  ]
}

/** The image and the layer, and a member or an entry that the message does not name. */
function formatPlace({image, layer, member, entry, message}: Finding): string {
  const unnamed = (...names: (string | undefined)[]) => names.filter((name) => name && !says(message, name))
  const isLayerSaid = layer === undefined || new RegExp(`\\blayer ${layer}\\b`).test(message)
  const unsaid = [
    ...unnamed(image && printableText(image)),
    ...(isLayerSaid ? [] : [`layer ${layer}`]),
    ...unnamed(member && printable(member), entry && printable(entry)),
  ]
  return unsaid.length === 0 ? '' : ` (${unsaid.join(', ')})`
}

/** Ids are words of a message, and long enough to be nothing else; other names are quoted in it. */
function says(message: string, name: string): boolean {
  return quotes(message, name) || (isID(name) && message.includes(name))
}

function formatEvidence(what: string, evidence: Evidence | undefined): string[] {
  if (evidence === undefined) return []
  return [`    ${`${what}:`.padEnd(10)}${printableText(evidence.value)}, ${printableText(evidence.from)}`]
}

function countFindings(findings: readonly Finding[]): Record<Severity, number> {
  const counts = {error: 0, warning: 0, note: 0}
  for (const {severity} of findings) counts[severity]++
  return counts
}

function foundDocument({member, entry, ...finding}: Finding): FoundDocument {
  return {
    ...finding,
    ...(member !== undefined && {member: printable(member)}),
    ...(entry !== undefined && {entry: printable(entry)}),
  }
}
