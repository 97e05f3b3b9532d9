import process from 'node:process'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {exitCodes} from '../src/cli/report.ts'
import {archivesArgument} from '../src/cli/shared-options.ts'
import {ImgtoolError} from '../src/errors.ts'
import {formatVerification, type VerifiedArchive, verifiedDocument} from '../src/view/verify.ts'

export default class Verify extends BaseCommand<typeof Verify> {
  static override readonly summary = 'Verify archives: every digest, size, id, parent, layer and whiteout.'
  static override readonly description =
    `Reads everything and says all that is wrong, what was expected and found, and how each was obtained.
Exits with 3 when something is wrong, and with 1 when an archive cannot be read at all. Warnings and notes, which archives of real tools have, do not count.`
  static override readonly args = {archives: archivesArgument}
  static override readonly flags = {
    integrity: Flags.string({
      description: 'integrity that the file itself must have, such as sha512-…',
      helpValue: 'ALGORITHM-BASE64',
    }),
  }
  static override readonly examples = [
    '<%= config.bin %> <%= command.id %> app.tar old.tar.gz oci:layout',
    '<%= config.bin %> <%= command.id %> app.tar --integrity "sha256-$(openssl dgst -sha256 -binary app.tar | base64)"',
    '$ docker save app | <%= config.bin %> <%= command.id %> - --json | jq ".archives[].findings[]"',
  ]

  override async run(): Promise<{archives: readonly VerifiedArchive[]}> {
    const integrity = await this.readIntegrity()
    const {signal} = this
    this.expectReader()
    const archives: VerifiedArchive[] = []
    for (const text of this.args.archives) archives.push(await this.verify(text, integrity, signal))
    const statuses = new Set(archives.map(({status}) => status))
    process.exitCode = statuses.has('unreadable') ? exitCodes.failed : statuses.has('wrong') ? exitCodes.wrong : 0
    return {archives}
  }

  private async readIntegrity(): Promise<string | undefined> {
    const {integrity} = this.flags
    if (integrity === undefined) return undefined
    const {parseIntegrity} = await loadVerifier()
    if (this.args.archives.length === 1) return parseIntegrity(integrity)
    throw new ImgtoolError('REFERENCE_INVALID', 'Cannot use --integrity with several archives: it is that of one file')
  }

  private async verify(text: string, integrity: string | undefined, signal: AbortSignal): Promise<VerifiedArchive> {
    const options = {...this.platform, integrity, limits: this.limits, signal}
    const {isSound, verifyArchive} = await loadVerifier()
    const read = await this.tryArchive(this.args.archives, () =>
      this.opening(text, (reference) => verifyArchive(reference, options)),
    )
    if ('error' in read) return {archive: text, status: 'unreadable', error: read.error}
    const {quiet} = this.flags
    if (!quiet || !isSound(read.result)) this.logLines(formatVerification(read.result, {quiet}))
    return verifiedDocument(read.result)
  }
}

/** oclif loads every command to know them all; what only this one needs is loaded when it runs. */
const loadVerifier = () => import('../src/verify.ts')
