with

daily_costs as (

    select * from {{ ref('fct_daily_costs') }}

),

final as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        cluster_name,
        namespace,
        workload_type,
        workload_name,
        deployment,
        labels,
        {{ summed_hours() }}
        {{ resummed_pod_money() }}
    from daily_costs
    group by
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        cluster_name,
        namespace,
        workload_type,
        workload_name,
        deployment,
        labels

)

select * from final
