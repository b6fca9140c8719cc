// Marten's side of `pnpm bench:marten`; process.ts starts it and reads its lines. Each mode ends when its standard input is closed.
//   version                                                                  prints Marten's version
//   follow <connection> <defaults|tuned>                                     its async daemon with one subscription
//   append <connection> <defaults|tuned> <events/s> <seconds> <rolled back>  its writers; one of so many is rolled back, 0 for none
using System.Diagnostics;
using JasperFx.Events.Daemon;
using JasperFx.Events.Projections;
using Marten;
using Marten.Events.Daemon.Internals;
using Marten.Services;
using Marten.Subscriptions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

const int Writers = 4;
// Above it, each append has several events, as those of bench:delay.
const int MostAppendsASecond = 500;
const int WarmUp = -1;

switch (args)
{
    case ["version"]:
        Console.WriteLine(typeof(IDocumentStore).Assembly.GetName().Version?.ToString(3));
        break;
    case ["follow", var connection, var settings]:
        await Follow(connection, settings == "tuned");
        break;
    case ["append", var connection, var settings, var rate, var seconds, var rolledBack]:
        await Append(connection, settings == "tuned", int.Parse(rate), int.Parse(seconds), int.Parse(rolledBack));
        break;
    default:
        Console.Error.WriteLine("the modes are in the first lines of Program.cs");
        return 2;
}
return 0;

// "Tuned" is what Marten has for short delays: notifications from the writers, shorter polls, less patience with a gap.
static void Configure(StoreOptions options, string connection, bool isTuned)
{
    options.Connection(connection);
    options.Events.AddEventType<Deposited>();
    if (!isTuned) return;
    options.Events.UseListenNotifyForEventAppends = true;
    options.Projections.FastPollingTime = TimeSpan.FromMilliseconds(25);
    options.Projections.SlowPollingTime = TimeSpan.FromMilliseconds(100);
    options.Projections.StaleSequenceThreshold = TimeSpan.FromMilliseconds(250);
}

static async Task Follow(string connection, bool isTuned)
{
    var builder = Host.CreateEmptyApplicationBuilder(null);
    builder.Logging.AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
    builder.Logging.SetMinimumLevel(LogLevel.Error);
    builder.Services
        .AddMarten(options =>
        {
            Configure(options, connection, isTuned);
            options.Projections.Subscribe(new Handled());
        })
        .ApplyAllDatabaseChangesOnStartup()
        .AddAsyncDaemon(DaemonMode.Solo);
    using var host = builder.Build();
    await host.StartAsync();
    Console.WriteLine("ready");
    await Console.In.ReadToEndAsync();
    await host.StopAsync();
}

static async Task Append(string connection, bool isTuned, int rate, int seconds, int rolledBack)
{
    await using var store = DocumentStore.For(options => Configure(options, connection, isTuned));
    await using var callers = NpgsqlDataSource.Create(connection);
    await Commit(store, WarmUp, 1);
    Console.WriteLine("ready");
    if (await Console.In.ReadLineAsync() is null) return;

    var perAppend = (rate + MostAppendsASecond - 1) / MostAppendsASecond;
    using var free = new SemaphoreSlim(Writers);
    var startMs = Clock.NowMs();
    for (var n = 0; n < rate * seconds; n += perAppend)
    {
        var aheadMs = startMs + n * 1_000.0 / rate - Clock.NowMs();
        if (aheadMs > 0) await Task.Delay(TimeSpan.FromMilliseconds(aheadMs));
        // A machine that cannot follow appends less, and no queue is measured.
        await free.WaitAsync();
        if (Clock.NowMs() > startMs + seconds * 1_000.0)
        {
            free.Release();
            break;
        }
        _ = One(n);
    }
    for (var i = 0; i < Writers; i++) await free.WaitAsync();
    Console.WriteLine("done");

    async Task One(int n)
    {
        try
        {
            if (rolledBack > 0 && n / perAppend % rolledBack == rolledBack - 1) await RollBack(store, callers, n, perAppend);
            else await Commit(store, n, perAppend);
        }
        catch (Exception error)
        {
            Console.Error.WriteLine(error);
            Environment.Exit(1);
        }
        finally
        {
            free.Release();
        }
    }
}

static async Task Commit(IDocumentStore store, int first, int count)
{
    await using var session = store.LightweightSession();
    session.Events.StartStream(Guid.NewGuid(), Events(first, count));
    await session.SaveChangesAsync();
    Clock.Print(Enumerable.Range(first, count));
}

// In a transaction of the caller's, who rolls it back: Marten has taken its numbers, and does not learn that they are dead.
static async Task RollBack(IDocumentStore store, NpgsqlDataSource callers, int first, int count)
{
    await using var connection = await callers.OpenConnectionAsync();
    await using var transaction = await connection.BeginTransactionAsync();
    await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));
    session.Events.StartStream(Guid.NewGuid(), Events(first, count));
    await session.SaveChangesAsync();
    await transaction.RollbackAsync();
}

static object[] Events(int first, int count) =>
    [.. Enumerable.Range(first, count).Select(n => new Deposited(n))];

public record Deposited(int N);

// Tells which events it was given, and does nothing else.
public class Handled : SubscriptionBase
{
    public override Task<IChangeListener> ProcessEventsAsync(
        EventRange page, ISubscriptionController controller, IDocumentOperations operations, CancellationToken cancellation)
    {
        Clock.Print(page.Events.Select(one => one.Data).OfType<Deposited>().Select(one => one.N));
        return Task.FromResult(NullChangeListener.Instance);
    }
}

static class Clock
{
    // The machine's monotonic clock, the same as in other processes.
    public static double NowMs() => Stopwatch.GetTimestamp() * 1_000.0 / Stopwatch.Frequency;

    public static void Print(IEnumerable<int> numbers)
    {
        var nowMs = NowMs();
        Console.WriteLine(string.Join('\n', numbers.Select(n => $"{n} {nowMs}")));
    }
}
