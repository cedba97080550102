# Writes the seeded history as OpenMetrics: 300 series, one sample each `step` seconds from `start` through `end`.
# Every value is a pure function of the series and the sample's time, so a test can recompute any of them:
# with n = time / 300, and I the number in the label instance="iI" (0 to 99),
#   seed_requests_total{code="200"}  (n - 5000000) * (I + 1)
#   seed_requests_total{code="500"}  floor((n - 5000000) * (I + 1) / 100)
#   seed_temperature_celsius         (7 * n + 13 * I) mod 101 - 20
BEGIN {
  print "# TYPE seed_requests counter"
  for (i = 0; i < 100; i++) {
    for (t = start; t <= end; t += step)
      printf "seed_requests_total{instance=\"i%d\",code=\"200\"} %d %d\n", i, (t / 300 - 5000000) * (i + 1), t
    for (t = start; t <= end; t += step)
      printf "seed_requests_total{instance=\"i%d\",code=\"500\"} %d %d\n", i, int((t / 300 - 5000000) * (i + 1) / 100), t
  }
  print "# TYPE seed_temperature_celsius gauge"
  for (i = 0; i < 100; i++)
    for (t = start; t <= end; t += step)
      printf "seed_temperature_celsius{instance=\"i%d\"} %d %d\n", i, (7 * t / 300 + 13 * i) % 101 - 20, t
  print "# EOF"
}
