module promsafe.test/image

go 1.26.0
