"""The paths of the demo: the page, and the half of it that belongs to one person."""

from django.urls import path

from demo import views

app_name = "demo"
urlpatterns = [
    path("", views.index, name="index"),
    path("demo/<slug:username>/", views.person, name="person"),
]
