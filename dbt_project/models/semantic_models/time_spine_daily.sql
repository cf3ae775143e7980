with

days as (

    select unnest(generate_series(date '2018-01-01', date '2040-12-31', interval 1 day))
        as usage_date

),

final as (

    select usage_date::date as usage_date
    from days

)

select * from final
