// `poststelle start`: runs the service until it is told to stop.

import { Option, type Command } from 'commander'
import { silentLogger } from '../base/logger.ts'
import type { CommandContext, Role } from './installation.ts'

const GONE = 'database gone'

export function addStartCommand(program: Command, ctx: CommandContext): void {
  program
    .command('start')
    .description('run the service: DATABASE_URL and REDIS_URL where set, the embedded database otherwise')
    .addOption(
      new Option('--roles <role>', 'which part of the service this process is')
        .choices(['all', 'api', 'worker'])
        .default('all'),
    )
    .option('--json', 'print the address and the backends as JSON once it runs')
    .action(async (options: { roles: 'all' | Role; json?: boolean }) => {
      const config = ctx.readConfig()
      const log = options.json ? silentLogger : ctx.createLogger(config)
      const stopSignal = ctx.terminal.stopSignal()
      const installation = await ctx.openInstallation(config, log, { migrations: 'up', exclusive: true })
      try {
        const roles = new Set<Role>(options.roles === 'all' ? ['api', 'worker'] : [options.roles])
        const stuck = Promise.withResolvers<string>()
        const service = await ctx.startService(installation, roles, () => stuck.resolve('stuck'))
        const facts = {
          version: ctx.version,
          roles: [...roles],
          url: service.url,
          ...(service.setUpUrl !== undefined && { set_up_url: service.setUpUrl }),
          database: config.databaseUrl === undefined ? `embedded in ${config.dataFolder}` : 'DATABASE_URL',
          queues: service.queueBackend,
        }
        if (options.json) ctx.terminal.out(`${JSON.stringify(facts)}\n`)
        log.info(facts, 'Poststelle runs')
        const why = await Promise.race([stopSignal, stuck.promise, installation.databaseGone.then(() => GONE)])
        if (why === GONE)
          ctx.terminal.abort('the embedded database ended; the supervisor should start the service again')
        log.info({ why }, 'stopping')
        await service.stop()
        log.info('stopped')
        if (why === 'stuck')
          throw new Error(
            'the workers finish nothing although work is due; the supervisor should start the service again',
          )
      } finally {
        await installation.close()
      }
    })
}
